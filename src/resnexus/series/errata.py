"""Which cells of the published page are wrong, and why; found by counting."""

from __future__ import annotations

from dataclasses import dataclass

from resnexus.architectures.catalog import architecture
from resnexus.architectures.complexity import complexity
from resnexus.series.published import published

_TOLERANCE = 0.01  # the page rounds, and counts some pooling


@dataclass(frozen=True, kw_only=True)
class Erratum:
    """One wrong cell.

    Attributes:
        field: `"gflops"`, `"mparams"`, `"v100_ms"` or an entry of `t4_ms`.
        published: the printed value.
        counted: the right value; None if it cannot be counted.
        reason: what went wrong.
    """

    field: str
    published: float
    counted: float | None
    reason: str


def errata(name: str) -> list[Erratum]:
    """Return the wrong cells in the published row of a network; empty if there are none.

    Raises:
        ResnexusError: the page has no such network.
    """
    printed, counted = published(name), complexity(name)
    found = [
        Erratum(field=field, published=was, counted=right, reason=_reason(name))
        for field, was, right in (
            ("gflops", printed.gflops, counted.gflops),
            ("mparams", printed.mparams, counted.mparams),
        )
        if abs(was - right) > _TOLERANCE * right
    ]
    return found + [erratum for row, erratum in _LATENCY_ERRATA if row == name]


def _reason(name: str) -> str:
    if name in _SWAPPED:
        return f"the page gives this row the figures of {_SWAPPED[name]}, and the other way round"
    groups = architecture(name).groups
    return f"the page divides the weights of the grouped convolutions by the {groups} groups twice"


_SWAPPED = {"Res2Net50_vd_26w_4s": "Res2Net50_14w_8s", "Res2Net50_14w_8s": "Res2Net50_vd_26w_4s"}

_LATENCY_ERRATA = (
    (
        "ResNeXt50_32x4d",
        Erratum(
            field="v100_ms",
            published=10.964,
            counted=None,
            reason="slower than the heavier ResNeXt50_vd_32x4d (7.566 ms); another page of the same project says 2.42",
        ),
    ),
    *(
        (
            "SE_ResNeXt50_vd_32x4d",
            Erratum(
                field=field,
                published=value,
                counted=None,
                reason="fp16 slower than fp32 at batch 8: the two cells look swapped",
            ),
        )
        for field, value in (("fp16_bs8", 25.57004), ("fp32_bs8", 19.914))
    ),
)
