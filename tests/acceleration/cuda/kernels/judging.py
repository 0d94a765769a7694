"""One launch of a kernel beside the same in float64: what runs where kernels are interpreted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

import torch
from guarded import Guarded
from torch import Tensor

# How far rounding to a dtype may be off, relatively. The interpreter cuts bfloat16 off instead of rounding it.
UNITS = {torch.float32: 2.0**-23, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-7}


@dataclass
class Launch:
    """A call with all that is needed to judge it.

    Attributes:
        run: the call.
        images: what is read for each image, first of all `x`.
        out: what is written.
        exact: computes from `images` what is expected, and how far off it may be before it is rounded, both float64 and
            of the shape of `out`.
        workspace: what else is written to as a whole, or None.
    """

    run: Callable[[], None]
    images: tuple[Guarded, ...]
    out: Guarded
    exact: Callable[[], tuple[Tensor, Tensor]]
    workspace: Guarded | None = None


@dataclass(frozen=True)
class Found:
    """What came of a launch.

    Attributes:
        error: the largest error as a multiple of what is allowed; infinite where a number is missing.
        guards_hold: whether nothing was written beside the output and the workspace.
        inputs_hold: whether everything that is read was left as it was.
    """

    error: float
    guards_hold: bool
    inputs_hold: bool

    @property
    def right(self) -> bool:
        return self.error <= 1 and self.guards_hold and self.inputs_hold


def sums_error(terms: int, magnitude: Tensor) -> Tensor:
    """Return how far off a sum in float32 may be: errors of random sign, four times over."""
    return 4 * math.sqrt(terms) * 2.0**-24 * magnitude


def wide(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().double()


def judge(name: str, **options: object) -> Found:
    """Run a kernel on random numbers, its output poisoned before.

    Args:
        name: of a function of `launches`.
        options: of that function.
    """
    launch = _built(name, options)
    before = [guarded.base.clone() for guarded in launch.images]
    expected, allowed = launch.exact()
    written = [launch.out] if launch.workspace is None else [launch.out, launch.workspace]
    for guarded in written:
        guarded.poison()
    launch.run()
    allowed = allowed + UNITS[launch.out.view.dtype] * expected.abs() + 1e-7
    error = ((wide(launch.out.view) - expected).abs() / allowed).max().item()
    read = [guarded.base for guarded in launch.images]
    return Found(
        error=math.inf if math.isnan(error) else error,
        guards_hold=all(guarded.guards_hold() for guarded in written),
        inputs_hold=all(
            torch.equal(old.nan_to_num(5.0), new.nan_to_num(5.0)) for old, new in zip(before, read, strict=True)
        ),
    )


@dataclass(frozen=True)
class Apart:
    """What numbers that are none or infinite did to other images and pixels.

    Attributes:
        image_holds: whether the results of the image without them are the same to the last bit.
        nowhere_else: whether results are missing exactly where they should be.
    """

    image_holds: bool
    nowhere_else: bool


def apart(name: str, **options: object) -> Apart:
    """Compare with a run without: NaN in the first pixel of all channels of image 1, infinity in those of image 2."""
    launch = _built(name, options | {"images": 3})

    def found() -> Tensor:
        launch.out.poison()
        launch.run()
        return launch.out.view.clone()

    plain = found()
    launch.images[0].view[1, :, 0, 0] = math.nan
    launch.images[0].view[2, :, 0, 0] = math.inf
    expected, _ = launch.exact()
    spoilt = found()
    return Apart(
        image_holds=torch.equal(spoilt[0], plain[0]),
        nowhere_else=torch.equal(spoilt[1].isnan(), expected[1].isnan()) and bool(expected[1].isnan().any()),
    )


def wrong(launches: Sequence[tuple[str, dict[str, object]]]) -> list[tuple[str, dict[str, object], Found]]:
    """Judge many launches, and return those that are not right."""
    found = [(name, options, judge(name, **options)) for name, options in launches]
    return [(name, options, result) for name, options, result in found if not result.right]


def wrong_rows(name: str, **options: object) -> tuple[int, list[tuple[object, Found]]]:
    """Judge a launch with every row of the table of its kernel; return how many there are, and those that are wrong."""
    rows = import_module("launches").TABLES[name]
    found = [(row, judge(name, settings=row, **options)) for row in rows]
    return len(rows), [(row, result) for row, result in found if not result.right]


def _built(name: str, options: dict[str, object]) -> Launch:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return getattr(import_module("launches"), name)(**options)
