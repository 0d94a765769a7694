"""What a page says about its network, and what it must know of the model to run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError


@dataclass(frozen=True, kw_only=True)
class WebRecord:
    """What a page says about its network.

    Attributes:
        name: of the network, the page's title.
        classes: what the logits stand for, in their order.
        preprocess: how pictures are prepared.
        multi_label: each class is a question of its own: shares are sigmoids, and not a softmax over all.
        facts: what else is known of it, (term, value), in the order in which it is shown.
        notes: what its user should know, in sentences.

    Raises:
        ResnexusError: no name or no classes.
    """

    name: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    multi_label: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ResnexusError(f"name={self.name!r}: give the page a title")
        if not self.classes:
            raise ResnexusError("classes=(): give the name of at least one class")


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The names by which a model is run.

    Attributes:
        input: of the prepared pictures.
        logits: of the logits.
        maps: of the class activation maps; None if it gives none.
    """

    input: str
    logits: str
    maps: str | None


def interface_of(model: Any, record: WebRecord) -> Interface:
    """Return the names by which a model is run, after a look at what they stand for.

    Args:
        model: `onnx.ModelProto`: float32 pictures (N, channels, size, size) -> logits (N, classes) and, if there is a
            second output, class activation maps (N, classes, h, w). Any side may be left open.
        record: what it should fit.

    Raises:
        ResnexusError: the model has other inputs or outputs than these.
    """
    size, channels, classes = record.preprocess.size, record.preprocess.in_chans, len(record.classes)
    inputs, outputs = list(model.graph.input), list(model.graph.output)
    if len(inputs) != 1 or len(outputs) not in (1, 2):
        raise ResnexusError(
            f"a model with {len(inputs)} inputs and {len(outputs)} outputs: expected one input, the pictures, and one "
            "or two outputs, the logits and the class activation maps"
        )
    expected = [(None, channels, size, size), (None, classes), (None, classes, None, None)]
    for value, shape in zip([*inputs, *outputs], expected, strict=False):
        _check(value, shape)
    return Interface(input=inputs[0].name, logits=outputs[0].name, maps=outputs[1].name if outputs[1:] else None)


def _check(value: Any, expected: Sequence[int | None]) -> None:
    kind = value.type.tensor_type
    found = [side.dim_value or None for side in kind.shape.dim]  # 0 is an open side
    fits = len(found) == len(expected) and all(
        None in (side, wanted) or side == wanted for side, wanted in zip(found, expected, strict=True)
    )
    if kind.elem_type != _FLOAT or not fits:
        raise ResnexusError(
            f"{value.name} is {_shown(found)} of ONNX's type {kind.elem_type}: expected {_shown(expected)} of float32 "
            f"({_FLOAT}); the model, the names of the classes and the preprocessing must belong together"
        )


_FLOAT = 1
"""`onnx.TensorProto.FLOAT`."""


def _shown(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
