"""One latency, as benchmarks and comparisons record it."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnexus.errors import ResnexusError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One latency: a network, in one engine, at one precision and batch size, on one device.

    Attributes:
        model: name of the network.
        device: `"cpu"` or `"cuda"`.
        precision: `"fp32"`, `"bf16"`, `"fp16"` or `"int8"`.
        batch_size: images per call.
        engine: what ran it, e.g. `"eager"`.
        image_size: pixels on a side.
        median_ms: milliseconds per batch.
        p10_ms: the tenth percentile.
        p90_ms: the ninetieth percentile.
        repeats: timed calls.
        agreement: largest difference from the plain fp32 network's logits over the largest of them, on the same
            images; None if it was not measured.
        cosine: smallest cosine between an image's logits and those of the plain fp32 network, or None.
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
    plan: str | None = None
    rounds_ms: tuple[float, ...] = ()
    throughput_img_s: float = field(init=False)

    def __post_init__(self) -> None:
        for milliseconds in (self.median_ms, self.p10_ms, self.p90_ms, *self.rounds_ms):
            if not 0 < milliseconds < float("inf"):
                raise ResnexusError(f"a time of {milliseconds} ms: expected more than 0")
        object.__setattr__(self, "throughput_img_s", 1e3 * self.batch_size / self.median_ms)
