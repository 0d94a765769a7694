"""The record of an evaluation: `evaluation.json`, from which its page is built, with the kept logits beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, whole
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.evaluation.calibration import Calibration
from resnexus.evaluation.intervals import Share
from resnexus.evaluation.significance import PairedAnswers

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class EvaluatedNetwork:
    """The network.

    Attributes:
        name: as it was asked for: a checkpoint's name, or a file.
        architecture: name of its row.
        weights_sha256: of the file of weights, in hexadecimal.
        published: name of the published checkpoint that the weights are; None if they are others.
        published_top1: what was published for it on these images, a fraction; None where that is not comparable.
        published_top5: likewise.
    """

    name: str
    architecture: str
    weights_sha256: str
    published: str | None = None
    published_top1: float | None = None
    published_top5: float | None = None

    def __post_init__(self) -> None:
        _hashes(weights_sha256=self.weights_sha256)


@dataclass(frozen=True, kw_only=True)
class EvaluatedImages:
    """The images.

    Attributes:
        name: of the data set.
        labels: what its class folders are called, one of `series.imagenet_sets.NAMINGS`.
        what: the same in words.
        part: which images of the folder, in a sentence.
        count: images evaluated.
        classes: classes that have images.
        competing: classes that may be an answer.
        sha256: one hash of the contents and labels of all images.
        skipped: files that could not be read, each with the reason; they count as neither right nor wrong.
        ignored: files among the images that are none.
    """

    name: str
    labels: str
    what: str
    part: str
    count: int
    classes: int
    competing: int
    sha256: str
    skipped: tuple[str, ...]
    ignored: tuple[str, ...]

    def __post_init__(self) -> None:
        whole(count=self.count, classes=self.classes, competing=self.competing)
        _hashes(sha256=self.sha256)


@dataclass(frozen=True, kw_only=True)
class EvaluatedClass:
    """One class: its accuracy, and what it is most often mistaken for (None if for nothing)."""

    name: str
    top1: Share
    taken_for: str | None
    times: int


@dataclass(frozen=True, kw_only=True)
class EvaluatedConfusion:
    """A pair of classes that is mistaken.

    Attributes:
        label: the images' class.
        predicted: what they were taken for.
        images: how many.
        share: of the class's images, a fraction.
        files: of those that the network is surest about.
    """

    label: str
    predicted: str
    images: int
    share: float
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """The same images prepared in another way.

    Attributes:
        kind: `"size"` or `"sensitivity"`.
        name: of what is other.
        preprocess: the other preparation.
        top1: as for the evaluation.
        top5: likewise.
        paired: this way first, the evaluation's own second; None if another way could not read the same images.
    """

    kind: str
    name: str
    preprocess: Preprocess
    top1: Share
    top5: Share
    paired: PairedAnswers | None

    def __post_init__(self) -> None:
        if self.kind not in ("size", "sensitivity"):
            raise ResnexusError(f"kind={self.kind!r}: expected 'size' or 'sensitivity'")


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """The same images made worse: name and family of the corruption, 1 to 5 of it, and what the network still knows."""

    name: str
    family: str
    severity: int
    top1: Share
    top5: Share


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """Another evaluation of the same images; this one is the first of the pair.

    Attributes:
        name: of its network.
        predictions_sha256: of its predictions.
        paired: this network first, the other second.
        corruption_errors: corruption -> this network's errors, summed over severities, over those of the other; empty
            unless both were evaluated under the same corruptions of the same seed.
    """

    name: str
    predictions_sha256: str
    paired: PairedAnswers
    corruption_errors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """All that was counted in an evaluation.

    Attributes:
        network: what was evaluated.
        images: on what.
        preprocess: how the images were prepared.
        precision: of the network, `"fp32"`, `"bf16"` or `"fp16"`.
        device: where it ran.
        command: as it was typed; empty for a call from Python.
        environment: machine, versions and date.
        seconds: of the pass over the data.
        predictions_sha256: of the kept logits and their labels, see `Predictions.digest`.
        top1: share of images whose label has the largest logit.
        top5: share whose label is among the five largest.
        real: accuracy by the ReaL labels; None if they were not given.
        calibration: of the confidences.
        classes: every class that has images, in the order of the outputs.
        confusions: the most frequent ones.
        variations: other sizes and preparations.
        corruptions: corruptions, by name and severity.
        corruption_seed: of what is random in them.
        against: another network on the same images; None if none was named.
        notes: what a reader should know, in sentences.
        schema: version of this layout.
    """

    network: EvaluatedNetwork
    images: EvaluatedImages
    preprocess: Preprocess
    precision: str
    device: str
    command: str
    environment: Environment
    seconds: float
    predictions_sha256: str
    top1: Share
    top5: Share
    real: Share | None
    calibration: Calibration
    classes: tuple[EvaluatedClass, ...]
    confusions: tuple[EvaluatedConfusion, ...]
    variations: tuple[Variation, ...]
    corruptions: tuple[Corrupted, ...]
    corruption_seed: int
    against: Opponent | None
    notes: tuple[str, ...]
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        _hashes(predictions_sha256=self.predictions_sha256)
        not_negative(seconds=self.seconds)
        if self.schema != SCHEMA:
            raise ResnexusError(f"schema={self.schema}: expected {SCHEMA}; evaluate again with this version")


def _hashes(**values: str) -> None:
    for name, value in values.items():
        if not re.fullmatch("[0-9a-f]{64}", value):
            raise ResnexusError(f"{name}={value!r}: expected 64 hexadecimal digits")
