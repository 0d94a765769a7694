"""The record of a quantisation: what lies beside an artefact in int8, and what its page is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, whole
from resnexus.errors import ResnexusError
from resnexus.evaluation.intervals import Share
from resnexus.evaluation.significance import PairedAnswers
from resnexus.parity.agreement import Agreement

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Step:
    """One attempt of the accuracy control.

    Attributes:
        put_back: layers that were kept in float32 for their sensitivity.
        int8: layers in int8.
        top1: in int8, a fraction.
        drop: points of top-1 lost, less those gained.
    """

    put_back: int
    int8: int
    top1: float
    drop: float

    def __post_init__(self) -> None:
        not_negative(put_back=self.put_back, top1=self.top1)
        whole(int8=self.int8)
        if not isfinite(self.drop):
            raise ResnexusError(f"drop={self.drop}: expected a finite number of points")


@dataclass(frozen=True, kw_only=True)
class LeftLayer:
    """A layer that stayed in float32.

    Attributes:
        name: of its module.
        why: in a few words.
        sensitivity: mean square of the change of the logits when it alone is in int8, over their own; None if that was
            not measured.
    """

    name: str
    why: str
    sensitivity: float | None = None


@dataclass(frozen=True, kw_only=True)
class QuantisationRecord:
    """All that was counted and timed of a quantisation.

    Attributes:
        architecture: name of the row.
        weights: as the artefact's record says.
        weights_sha256: of the file of weights; None for others.
        format: of the artefact.
        artefact: name of its file.
        data: name of the data set.
        part: which of its images are the validation images, in a sentence.
        images_sha256: one hash of these images and their labels.
        calibration_images: that gave the ranges; none of them is a validation image.
        seed: of the draw of both.
        max_drop: points of top-1 that were allowed.
        top1_fp32: share of validation images whose label has the largest logit, of the network in float32.
        top1_int8: the same of the artefact.
        paired: the artefact first, the network second.
        agreement: of the logits of all validation images.
        layers: names of the layers in int8.
        put_back: names of those that were kept in float32 for their sensitivity.
        left: all convolutions and linear layers in float32.
        steps: every attempt.
        bytes_fp32: of the artefact's files in float32.
        bytes_int8: in int8.
        latency: float32, bfloat16 and int8 that took turns, at each batch size.
        not_timed: what was not timed, and why, in sentences.
        command: as it was typed; empty for a call from Python.
        environment: machine, versions and date.
        notes: what a reader should know, in sentences.
        schema: version of this layout.

    Raises:
        ResnexusError: no layer is in int8, or a value is outside what is stated above.
    """

    architecture: str
    weights: str
    weights_sha256: str | None
    format: str
    artefact: str
    data: str
    part: str
    images_sha256: str
    calibration_images: int
    seed: int
    max_drop: float
    top1_fp32: Share
    top1_int8: Share
    paired: PairedAnswers
    agreement: Agreement
    layers: tuple[str, ...]
    put_back: tuple[str, ...]
    left: tuple[LeftLayer, ...]
    steps: tuple[Step, ...]
    bytes_fp32: int
    bytes_int8: int
    latency: tuple[Cell, ...]
    not_timed: tuple[str, ...]
    command: str
    environment: Environment
    notes: tuple[str, ...]
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        whole(calibration_images=self.calibration_images, bytes_fp32=self.bytes_fp32, bytes_int8=self.bytes_int8)
        not_negative(seed=self.seed, max_drop=self.max_drop)
        if not self.layers:
            raise ResnexusError("layers=(): a quantisation has one layer in int8 at least")
        if self.schema != SCHEMA:
            raise ResnexusError(f"schema={self.schema}: expected {SCHEMA}; quantise again with this version")

    @property
    def drop(self) -> float:
        """Points of top-1 lost, less those gained."""
        return -100 * self.paired.difference
