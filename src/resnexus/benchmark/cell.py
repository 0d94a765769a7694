"""One latency, as benchmarks and comparisons record it."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnexus.benchmark.ranges import not_negative, rising, whole
from resnexus.errors import ResnexusError

UNSTEADY = 2.0
"""The ninetieth percentile over the tenth from which on a latency says more of the machine than of the network.

On a machine that does nothing else it is below 1.3 in nineteen of twenty cells, and it was never above 1.8.
"""

_ROUNDING = 1e-6  # a cosine is computed


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One latency: a network, in one engine, at one precision and batch size, on one device.

    Attributes:
        model: name of the network.
        device: `"cpu"` or `"cuda"`.
        precision: `"fp32"`, `"bf16"`, `"fp16"` or `"int8"`.
        batch_size: images per call.
        engine: what ran it, a name of `engines.ENGINES`.
        image_size: pixels on a side.
        median_ms: milliseconds per batch.
        p10_ms: the tenth percentile.
        p90_ms: the ninetieth percentile.
        repeats: timed calls.
        agreement: largest difference from the plain fp32 network's logits, or its worst map, over the largest value,
            on the same images; None if it was not measured.
        cosine: smallest cosine between an image's logits, or maps, and those of the plain fp32 network, or None.
        out_indices: the feature maps that it returns; empty for logits.
        output_stride: of the network; None for the row's own.
        worst_map: of feature maps, the one that `agreement` is of, each judged by its own largest value.
        plan: what our engine chose to run, in words; None for the others.
        rounds_ms: every timed call, in the order of the rounds; cells of one network, device and batch size that
            were timed together can be divided call by call. Empty if not kept.
        throughput_img_s: images per second at the median.
    """

    model: str
    device: str
    precision: str
    batch_size: int
    engine: str
    image_size: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    repeats: int
    agreement: float | None = None
    cosine: float | None = None
    out_indices: tuple[int, ...] = ()
    output_stride: int | None = None
    worst_map: int | None = None
    plan: str | None = None
    rounds_ms: tuple[float, ...] = ()
    throughput_img_s: float = field(init=False)

    def __post_init__(self) -> None:
        whole(batch_size=self.batch_size, image_size=self.image_size, repeats=self.repeats)
        for milliseconds in (self.median_ms, self.p10_ms, self.p90_ms, *self.rounds_ms):
            if not 0 < milliseconds < float("inf"):
                raise ResnexusError(f"a time of {milliseconds} ms: expected more than 0")
        rising(p10_ms=self.p10_ms, median_ms=self.median_ms, p90_ms=self.p90_ms)
        if self.worst_map is not None and self.worst_map not in self.out_indices:
            raise ResnexusError(f"worst_map={self.worst_map}: expected one of the maps {self.out_indices}")
        if self.agreement is not None:
            not_negative(agreement=self.agreement)
        if self.cosine is not None and not abs(self.cosine) <= 1 + _ROUNDING:
            raise ResnexusError(f"cosine={self.cosine}: expected -1 to 1")
        object.__setattr__(self, "throughput_img_s", 1e3 * self.batch_size / self.median_ms)


def is_unsteady(cell: Cell) -> bool:
    """Whether the times of a cell lie so far apart that the machine must have been busy with something else.

    The rule: the ninetieth percentile is at least `UNSTEADY` times the tenth.
    """
    return cell.p90_ms >= UNSTEADY * cell.p10_ms
