"""Which network a state fits, and whose names it carries, from its names and shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Literal, Protocol, TypeAlias

from resnexus.architectures import catalog
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.complexity import complexity, layers
from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.weights.layouts import PADDLE, TIMM
from resnexus.weights.mapping import names
from resnexus.weights.mapping import shapes as our_shapes

LayoutName = Literal["paddle", "resnexus", "timm"]
Shape: TypeAlias = tuple[int, ...]

_OTHERS = {"paddle": PADDLE, "timm": TIMM}
_TITLES = {"paddle": "Paddle's names", "resnexus": "Resnexus's names", "timm": "the names of timm and torchvision"}
_HEADS = {"paddle": "out", "resnexus": "head", "timm": "fc"}
_TELLING = {
    "paddle": re.compile(r".*\._batch_norm\._mean"),
    "resnexus": re.compile(r"stages\.\d+\.\d+\.branch\..*"),
    "timm": re.compile(r"layer\d+\.\d+\.conv1\.weight"),
}
_FIRST_CONVS = {
    "paddle": ("conv1_1._conv.weight", "conv._conv.weight", "conv1._conv.weight"),
    "resnexus": ("stem.0.conv.weight",),
    "timm": ("conv1.0.weight", "conv1.weight"),
}
_COUNTER = "num_batches_tracked"
_SHOWN_LINES = 30  # of either sign


class HasShape(Protocol):
    """A tensor or an array."""

    @property
    def shape(self) -> Shape:
        """Length of every axis."""
        ...


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What was found in a state.

    Attributes:
        candidates: the networks that its names and shapes fit; more than one if they cannot tell them apart.
        layout: whose names it carries.
        num_classes: outputs of its last layer, 0 if it has none.
        in_chans: channels of its images.
    """

    candidates: tuple[Architecture, ...]
    layout: LayoutName
    num_classes: int
    in_chans: int

    @property
    def architecture(self) -> Architecture:
        """The network.

        Raises:
            ResnexusError: several candidates.
        """
        if len(self.candidates) > 1:
            name = self.candidates[0].name
            raise ResnexusError(
                f"the weights fit {name} of the published cascade and of the authors' alike, which are different "
                f"functions: say which with architecture={name!r}, or a row with cascade='authors'"
            )
        return self.candidates[0]

    def __str__(self) -> str:
        rows = " or ".join(map(_title, self.candidates))
        return f"{rows} in {_TITLES[self.layout]}, {self.num_classes} classes, {self.in_chans} image channels"


def detect(entries: Mapping[str, HasShape], architecture: str | Architecture | None = None) -> Detection:
    """Find out which network a state fits: one of the series, a baseline or a small sibling.

    A Res2Net in timm's names is taken for the authors' variant, in Paddle's names for the published one; in our own
    names it may be either.

    Args:
        entries: name -> tensor or array.
        architecture: a name or a row, if it is known; then only that is tried.

    Raises:
        ResnexusError: the names are nobody's, or no network fits; then the nearest one is named, with the entries
            that differ.
    """
    state = _described({name: tuple(entry.shape) for name, entry in entries.items() if not name.endswith(_COUNTER)})
    rows = _known(state.layout) if architecture is None else [catalog.architecture(architecture)]
    fitting = _fitting(rows, state)
    if not fitting:
        raise _no_known_fit(state) if architecture is None else _no_fit(rows[0], state)
    return Detection(candidates=fitting, layout=state.layout, num_classes=state.num_classes, in_chans=state.in_chans)


def differing_fields(row: Architecture, other: Architecture) -> str:
    """Return the fields of `row`, but for its name, that `other` has otherwise, as `"stem='small', width=4"`."""
    values = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "name"}
    return ", ".join(f"{name}={value!r}" for name, value in values.items() if getattr(other, name) != value)


@dataclass(frozen=True, kw_only=True)
class _State:
    """The shapes of a state, but for the counters of the normalisations, and what can be told at a glance."""

    layout: LayoutName
    shapes: dict[str, Shape]
    num_classes: int
    in_chans: int

    @property
    def size(self) -> int:
        """Numbers in the state, but for its head and its first convolution, whose sizes are free."""
        free = {f"{_HEADS[self.layout]}.weight", f"{_HEADS[self.layout]}.bias", *_FIRST_CONVS[self.layout]}
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name not in free)

    def __str__(self) -> str:
        return f"the {len(self.shapes)} entries in {_TITLES[self.layout]}"


def _described(shapes: dict[str, Shape]) -> _State:
    layout = _layout(shapes)
    weight, bias = (shapes.get(f"{_HEADS[layout]}.{part}") for part in ("weight", "bias"))
    num_classes = bias[0] if bias is not None and len(bias) == 1 else 1000
    if layout == "resnexus" and weight is None and bias is None:
        num_classes = 0
    first = next((shapes[name] for name in _FIRST_CONVS[layout] if name in shapes), ())
    in_chans = first[1] if len(first) == 4 else 3
    return _State(layout=layout, shapes=shapes, num_classes=num_classes, in_chans=in_chans)


def _layout(shapes: Mapping[str, Shape]) -> LayoutName:
    found: list[LayoutName] = [
        layout for layout in ("paddle", "resnexus", "timm") if any(map(_TELLING[layout].fullmatch, shapes))
    ]
    if len(found) != 1:
        first = ", ".join(list(shapes)[:4]) or "nothing"
        raise ResnexusError(
            f"these are {'the names of several libraries at once' if found else 'not the names of any library known'} "
            f"(Paddle, timm, torchvision, Resnexus); the first of {len(shapes)} entries: {first}"
        )
    return found[0]


def _known(layout: LayoutName) -> list[Architecture]:
    rows = [*CATALOG.values(), *(SIBLINGS.values() if layout != "timm" else ())]
    authors = [replace(row, cascade="authors") for row in rows if row.block == "res2"]
    if layout == "paddle":
        return rows
    return rows + authors if layout == "resnexus" else [row for row in rows if row.block != "res2"] + authors


def _fitting(rows: Iterable[Architecture], state: _State) -> tuple[Architecture, ...]:
    # The cheap tests first: a row may come from a hostile file, and must not be built if the file is too small for it.
    return tuple(
        row
        for row in rows
        if _may_fit(row, state) and _backbone_size(row) == state.size and not _differences(row, state)
    )


def _may_fit(row: Architecture, state: _State) -> bool:
    longest = max((max(shape, default=0) for shape in state.shapes.values()), default=0)
    last = len(row.depths) - 1
    widest = max(row.stem_width, row.outer_width(last), row.inner_width(last))
    return sum(row.depths) <= len(state.shapes) and widest <= 2 * longest


@cache
def _backbone_size(row: Architecture) -> int:
    cost = complexity(row, 32, num_classes=0)
    return cost.parameters + cost.buffers - next(layers(row, (32, 32))).weights


@cache
def _published_shapes(layout: LayoutName, row: Architecture) -> dict[str, Shape]:
    ours = our_shapes(row)
    if layout == "resnexus":
        return {name: shape for name, shape in ours.items() if not name.endswith(_COUNTER)}
    theirs = {}
    for name, (their_name, storage) in names(_OTHERS[layout], row).items():
        shape = ours[name]
        theirs[their_name] = {"same": shape, "transposed": shape[::-1], "conv1x1": (*shape, 1, 1)}[storage]
    return theirs


def _differences(row: Architecture, state: _State) -> list[str]:
    """Return what a state lacks (-) and has left over (+) for a row, one line per entry."""
    expected = dict(_published_shapes(state.layout, row))
    weight, bias = f"{_HEADS[state.layout]}.weight", f"{_HEADS[state.layout]}.bias"
    if state.num_classes == 0:
        del expected[weight], expected[bias]
    else:
        ends = row.outer_width(len(row.depths) - 1), state.num_classes
        expected[weight] = ends if state.layout == "paddle" else ends[::-1]
        expected[bias] = (state.num_classes,)
    first = next(name for name in _FIRST_CONVS[state.layout] if name in expected)
    expected[first] = (expected[first][0], state.in_chans, *expected[first][2:])
    lines = [f"- {name} {shape}" for name, shape in expected.items() if state.shapes.get(name) != shape]
    return lines + [f"+ {name} {shape}" for name, shape in state.shapes.items() if expected.get(name) != shape]


def _no_known_fit(state: _State) -> ResnexusError:
    by_size = sorted(_known(state.layout), key=lambda row: abs(_backbone_size(row) - state.size))
    differences = {row: _differences(row, state) for row in by_size[:3]}
    nearest = min(differences, key=lambda row: len(differences[row]))
    return _listed(f"no known network fits {state}; the nearest is {_title(nearest)}", differences[nearest])


def _no_fit(row: Architecture, state: _State) -> ResnexusError:
    titles = {_title(other) for other in _fitting(_known(state.layout), state)}
    if titles and _title(row) not in titles:
        return ResnexusError(f"the weights are those of {' or '.join(sorted(titles))}, not of {_title(row)}")
    if not _may_fit(row, state):
        return ResnexusError(f"{state} are far from the size of {_title(row)}")
    return _listed(f"{state} do not fit {_title(row)}", _differences(row, state))


def _listed(start: str, lines: list[str]) -> ResnexusError:
    shown = [f"{start}: expected (-) and found (+)"]
    for sign in "-+":
        own = [line for line in lines if line.startswith(sign)]
        shown += own[:_SHOWN_LINES]
        if len(own) > _SHOWN_LINES:
            shown.append(f"{sign} ... and {len(own) - _SHOWN_LINES} more")
    return ResnexusError("\n".join(shown))


def _title(row: Architecture) -> str:
    return f"{row.name} (the authors' cascade)" if row.cascade == "authors" else row.name
