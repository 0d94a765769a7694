"""Benchmarks with a name: what others measure too, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from resnexus.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is timed.

    Attributes:
        name: how the command line calls it.
        what: in one sentence.
        models: names of the networks.
        out_indices: the feature maps that they return; empty for logits.
        image_size: pixels on a side.
        precisions: what they compute in.
        batch_sizes: images per call.
        engines: names of `engines.ENGINES`.
    """

    name: str
    what: str
    models: tuple[str, ...]
    out_indices: tuple[int, ...]
    image_size: int
    precisions: tuple[str, ...] = ("fp32",)
    batch_sizes: tuple[int, ...] = (1,)
    engines: tuple[str, ...] = (
        "eager",
        "channels_last",
        "compile_frozen",
        "compile_max_autotune",
        "aotinductor",
        "onnxruntime",
        "openvino",
        "resnexus",
    )


_KINDS = ("ResNeXt50_32x4d", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s", "Res2Net50_vd_26w_4s")

_ROWS = (
    Case(
        name="mlperf-detector",
        what="The backbone of MLPerf's RetinaNet at 800x800: the maps that its pyramid is built on, strides 8 to 32.",
        models=("ResNeXt50_32x4d",),
        out_indices=(2, 3, 4),
        image_size=800,
    ),
    *(
        Case(
            name=f"detectors-{side}",
            what=f"Four kinds of networks with 50 layers at {side}x{side}: the maps of the stages, strides 4 to 32.",
            models=_KINDS,
            out_indices=(1, 2, 3, 4),
            image_size=side,
        )
        for side in (640, 800)
    ),
)

CASES = MappingProxyType({row.name: row for row in _ROWS})


def case(name: str) -> Case:
    """Return the case called `name`.

    Raises:
        ResnexusError: no case is called that.
    """
    if name not in CASES:
        raise unknown("case", name, CASES)
    return CASES[name]
