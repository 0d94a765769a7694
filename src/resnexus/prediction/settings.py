"""How a network is asked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from resnexus.devices import CPU, device_word
from resnexus.errors import ResnexusError, unknown

ENGINES = ("plain", "accelerated")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """How a network is asked.

    Attributes:
        architecture: the network of a file of weights, where names and shapes cannot tell.
        weights: of a network that is named alone: a tag, a file, or `"random"` to try it out without any; those that
            the model names if None.
        engine: `"plain"` for PyTorch as it is, `"accelerated"` for `resnexus.accelerate`.
        precision: `"fp32"`, `"bf16"`, or with the plain engine `"fp16"`.
        device: where the plain engine runs, as `resnexus.devices.device_word` takes it, whose word is kept.
        batch_size: images per forward pass.
        topk: classes named at most.
        threshold: the least probability of a class that is named; if None, 0, or 0.5 where every class is a question.
        multi_label: whether every class is a question of its own (sigmoid) instead of one among all (softmax); what the
            record of the weights says if None.
        embeddings: whether the pooled features are returned.
        heatmaps: whether it is said where in the picture the first class was seen.
        workers: processes that fetch and decode; 0 decodes in this process, without a limit to time and memory.
        time_limit: seconds that a worker gets for one input.
        memory_limit: MiB that a worker may take besides what it starts with; where the system has /proc.
        private_addresses: whether addresses may lead into private networks and to this machine, name a machine in
            another way than http(s) does, or hold a second address.
        trust_code: whether an artefact may be opened that can run code: see `resnexus.open_artefact`.

    Raises:
        ResnexusError: a value outside what is stated above.
    """

    architecture: str | None = None
    weights: str | None = None
    engine: str = "plain"
    precision: str = "fp32"
    device: str = "cpu"
    batch_size: int = 32
    topk: int = 5
    threshold: float | None = None
    multi_label: bool | None = None
    embeddings: bool = False
    heatmaps: bool = False
    workers: int = 0
    time_limit: float = 30.0
    memory_limit: int = 2048
    private_addresses: bool = False
    trust_code: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", device_word(self.device))
        for name, accepted in (("engine", ENGINES), ("precision", PRECISIONS)):
            if getattr(self, name) not in accepted:
                raise unknown(name, getattr(self, name), accepted)
        if self.engine == "accelerated" and (self.precision == "fp16" or self.device != CPU):
            raise ResnexusError(
                f"precision={self.precision!r}, device={self.device!r}: the accelerated engine runs fp32 and bf16 on "
                "the cpu; use engine='plain'"
            )
        for name, least in (("batch_size", 1), ("topk", 1), ("workers", 0), ("memory_limit", 64)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ResnexusError(f"{name}={value!r}: expected a whole number of at least {least}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ResnexusError(f"threshold={self.threshold}: expected a probability from 0 to 1")
        if not 0 < self.time_limit < float("inf"):
            raise ResnexusError(f"time_limit={self.time_limit}: expected seconds, more than 0")


def settings_of(settings: PredictionSettings | None, options: dict[str, Any]) -> PredictionSettings:
    """Return settings, or those that `options` name.

    Raises:
        ResnexusError: both are given, an option is unknown, or a value is not accepted.
    """
    names = [field.name for field in fields(PredictionSettings)]
    for name in options:
        if name not in names:
            raise unknown("option", name, names)
    if settings is not None and options:
        raise ResnexusError(f"{', '.join(options)}: give them in settings, or no settings")
    return PredictionSettings(**options) if settings is None else settings
