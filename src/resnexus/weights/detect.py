"""Which network a state fits, and whose names it carries, from its names and shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Protocol

from resnexus.architectures import catalog
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.complexity import complexity, layers
from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, printable
from resnexus.weights.layouts import LAYOUTS, UNLIKE, Layout
from resnexus.weights.mapping import COUNTER, Shape, same_function, stored_shapes

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
        layout: whose names it carries, one of `layouts.LAYOUTS`.
        num_classes: outputs of its last layer, 0 if it has none.
        in_chans: channels of its images.
    """

    candidates: tuple[Architecture, ...]
    layout: str
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
                f"functions: say which with architecture={name!r} (--architecture {name}), or a row with "
                "cascade='authors'"
            )
        return self.candidates[0]

    def __str__(self) -> str:
        rows = " or ".join(map(_title, self.candidates))
        return f"{rows} in {LAYOUTS[self.layout].title}, {self.num_classes} classes, {self.in_chans} image channels"


def detect(entries: Mapping[str, HasShape], architecture: str | Architecture | None = None) -> Detection:
    """Find out which network a state fits: one of the series, a baseline or a small sibling.

    A Res2Net in timm's names is taken for the authors' variant, in Paddle's names for the published one; in our own
    names it may be either.

    Args:
        entries: name -> tensor or array.
        architecture: a name or a row, if it is known; then only that is tried.

    Raises:
        ResnexusError: the names are nobody's, the weights mean another function in them, or no network fits; then the
            nearest one is named, with the entries that differ.
    """
    state = _described({name: tuple(entry.shape) for name, entry in entries.items() if not name.endswith(COUNTER)})
    rows = _known(state.layout) if architecture is None else [catalog.architecture(architecture)]
    fitting = _fitting(rows, state)
    if not fitting:
        raise _no_known_fit(state) if architecture is None else _no_fit(rows[0], state)
    for row in fitting:
        same_function(state.layout, row)
    return Detection(
        candidates=fitting, layout=state.layout.name, num_classes=state.num_classes, in_chans=state.in_chans
    )


def differing_fields(row: Architecture, other: Architecture) -> str:
    """Return the fields of `row`, but for its name, that `other` has otherwise, as `"stem='small', width=4"`."""
    values = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "name"}
    return ", ".join(f"{name}={value!r}" for name, value in values.items() if getattr(other, name) != value)


@dataclass(frozen=True, kw_only=True)
class _State:
    """The shapes of a state, but for the counters of the normalisations, and what can be told at a glance."""

    layout: Layout
    shapes: dict[str, Shape]
    num_classes: int
    in_chans: int

    @property
    def size(self) -> int:
        """Numbers in the state, but for its head and its first convolution, whose sizes are free."""
        free = {f"{self.layout.head}.weight", f"{self.layout.head}.bias", *self.layout.first_convs}
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name not in free)

    @property
    def widest(self) -> int:
        """The longest axis of an entry that holds any numbers."""
        return max((max(shape) for shape in self.shapes.values() if shape and min(shape) > 0), default=0)

    def __str__(self) -> str:
        return f"the {len(self.shapes)} entries in {self.layout.title}"


def _described(shapes: dict[str, Shape]) -> _State:
    layout = _layout(shapes)
    weight, bias = (shapes.get(f"{layout.head}.{part}") for part in ("weight", "bias"))
    no_classes = weight is None and bias is None
    num_classes = bias[0] if bias is not None and len(bias) == 1 else 0 if no_classes else 1000
    first = next((shapes[name] for name in layout.first_convs if name in shapes), ())
    in_chans = first[1] if len(first) == 4 else 3
    return _State(layout=layout, shapes=shapes, num_classes=num_classes, in_chans=in_chans)


def _layout(shapes: Mapping[str, Shape]) -> Layout:
    def among(telling: str) -> bool:
        return any(map(re.compile(telling).fullmatch, shapes))

    for unlike in UNLIKE:
        if among(unlike.telling):
            raise ResnexusError(f"these names are no layout that converts: {unlike.reason}")
    found = [layout for layout in LAYOUTS.values() if among(layout.telling)]
    if len(found) != 1:
        first = ", ".join(map(printable, list(shapes)[:4])) or "nothing"
        raise ResnexusError(
            f"these are {'the names of several libraries at once' if found else 'not the names of any library known'} "
            f"(Paddle, timm, torchvision, Resnexus); the first of {len(shapes)} entries: {first}"
        )
    return found[0]


def _known(layout: Layout) -> list[Architecture]:
    """Return the networks that a state in a layout may be of."""
    rows = [*CATALOG.values(), *SIBLINGS.values()]
    authors = [replace(row, cascade="authors") for row in rows if row.block == "res2"]
    return [row for row in rows + authors if layout.refusal(row) is None]


def _fitting(rows: Iterable[Architecture], state: _State) -> tuple[Architecture, ...]:
    # The cheap tests first: a row may come from a hostile file, and must not be built if the file is too small for it.
    return tuple(
        row
        for row in rows
        if _may_fit(row, state) and _backbone_size(row) == state.size and not _differences(row, state)
    )


def _may_fit(row: Architecture, state: _State) -> bool:
    convs = sum(row.depths) * (row.scale + 1)  # a block has at least as many, each an entry of its own
    last = len(row.depths) - 1
    widest = max(row.stem_width, row.outer_width(last), row.inner_width(last))
    return convs <= len(state.shapes) and widest <= 2 * state.widest


@cache
def _backbone_size(row: Architecture) -> int:
    cost = complexity(row, 32, num_classes=0)
    return cost.parameters + cost.buffers - next(layers(row, (32, 32))).weights


def _differences(row: Architecture, state: _State) -> list[str]:
    """Return what a state lacks (-) and has left over (+) for a row, one line per entry."""
    expected = stored_shapes(state.layout, row, state.num_classes, state.in_chans)
    lines = [f"- {name} {shape}" for name, shape in expected.items() if state.shapes.get(name) != shape]
    left_over = {name: shape for name, shape in state.shapes.items() if expected.get(name) != shape}
    return lines + [f"+ {printable(name)} {shape}" for name, shape in left_over.items()]


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
    name = printable(row.name)
    return f"{name} (the authors' cascade)" if row.cascade == "authors" else name
