"""What an artefact says about itself, and the part of it that other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from resnexus.architectures.spec import Architecture
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, unknown
from resnexus.parity.agreement import Agreement
from resnexus.records import from_json
from resnexus.version import __version__
from resnexus.weights.checkpoint_file import CheckpointRecord

Included = Literal["none", "normalise", "full"]
Sizes = Literal["fixed", "multiples-of-32"]
Batch = Literal["any", "one"]

MULTIPLE = 32
"""What the sides of images are divisible by where a graph takes images of several sizes."""

LOGITS, PROBABILITIES, HEATMAP = "logits", "probabilities", "heatmap"
RECORD_KEY = "resnexus"
"""Under which key, or as the file of which name with `.json`, an artefact keeps its record."""

MODEL_INFO = "model_info"
"""Under which key OpenVINO's Model API looks for what it needs."""


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What goes into a graph and comes out of it.

    Attributes:
        included: the part of the preprocessing that is in the graph. `"none"`: images are (N, C, H, W) float32,
            prepared, and logits come out. `"normalise"`: images are (N, H, W, C) uint8 at the network's size, and
            probabilities come out. `"full"`: one image, (H, W, C) uint8 of any size, is resized and cropped in the
            graph, and (1, classes) probabilities come out.
        in_chans: channels of an image.
        image_size: pixels on a side of what enters the network.
        sizes: `"fixed"` to `image_size`, or `"multiples-of-32"`: any height and any width that 32 divides.
        multi_label: probabilities are sigmoids, each class for itself, and not a softmax over all.
        heatmap: the class activation map of the top class comes out besides, (N, h, w) float32.
        batch: how many images go in at once: `"any"` number, or `"one"`.
        maps: numbers of the feature maps that come out in place of scores, each (N, C, h, w) float32; scores if empty.

    Raises:
        ResnexusError: a value that is not among these, or values that contradict each other.
    """

    included: Included = "none"
    in_chans: int = 3
    image_size: int = 224
    sizes: Sizes = "fixed"
    multi_label: bool = False
    heatmap: bool = False
    batch: Batch = "any"
    maps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.included not in get_args(Included):
            raise unknown("preprocess", self.included, get_args(Included))
        if self.sizes not in get_args(Sizes):
            raise unknown("sizes", self.sizes, get_args(Sizes))
        if self.sizes != "fixed" and self.included == "full":
            raise ResnexusError(
                f"sizes={self.sizes!r} has no effect with preprocess='full': pictures of any size are cropped to "
                f"{self.image_size} pixels"
            )
        if self.sizes != "fixed" and self.image_size % MULTIPLE:
            raise ResnexusError(f"image_size={self.image_size}: sizes={self.sizes!r} needs a multiple of {MULTIPLE}")
        if self.batch not in get_args(Batch):
            raise unknown("batch", self.batch, get_args(Batch))
        for option in ("heatmap", "multi_label"):
            if self.maps and getattr(self, option):
                raise ResnexusError(f"{option}=True has no effect with feature maps: no scores come out beside them")

    @property
    def input(self) -> str:
        """Name of what goes in: `"images"`, or `"picture"` for one of any size."""
        return "picture" if self.included == "full" else "images"

    @property
    def one_at_a_time(self) -> bool:
        """Whether a call takes one image or picture alone."""
        return self.included == "full" or self.batch == "one"

    @property
    def axes(self) -> tuple[int | str, ...]:
        """Lengths of what goes in: numbers, and names for what is free."""
        side: int | str = self.image_size if self.sizes == "fixed" else f"multiple of {MULTIPLE}"
        count: int | str = "N" if self.batch == "any" else 1
        if self.included == "none":
            return (count, self.in_chans, side, side)
        return (count, side, side, self.in_chans) if self.included == "normalise" else ("H", "W", self.in_chans)

    @property
    def dtype(self) -> str:
        """Of what goes in: `"float32"` or `"uint8"`."""
        return "float32" if self.included == "none" else "uint8"

    @property
    def shape(self) -> str:
        """What goes in, in words, e.g. `"(N, 3, 224, 224) float32"`."""
        return f"({', '.join(map(str, self.axes))}) {self.dtype}"

    @property
    def scores(self) -> str:
        """Name of what comes out first: `"logits"` or `"probabilities"`."""
        return LOGITS if self.included == "none" else PROBABILITIES

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all that comes out, in this order; of feature maps `"map0"` for the stem's, and so on."""
        if self.maps:
            return tuple(f"map{number}" for number in self.maps)
        return (self.scores, HEATMAP) if self.heatmap else (self.scores,)


@dataclass(frozen=True, kw_only=True)
class Int8:
    """What of an artefact computes in int8, and what that costs.

    Attributes:
        layers: names of the layers in int8.
        left: names of the convolutions and linear layers in float32.
        drop: points of top-1 that were lost, less those that were gained.
        images: on how many images that was counted.

    Raises:
        ResnexusError: no layer is in int8.
    """

    layers: tuple[str, ...]
    left: tuple[str, ...]
    drop: float
    images: int

    def __post_init__(self) -> None:
        if not self.layers:
            raise ResnexusError("layers=(): an artefact in int8 has one layer in int8 at least")


@dataclass(frozen=True, kw_only=True)
class ArtefactRecord:
    """What an artefact says about itself.

    Attributes:
        format: how it is written, e.g. `"onnx"`.
        row: the network.
        output_stride: image pixels per pixel of its last map, where dilation makes that less than the row's own; else
            None.
        weights: where they are from: a name and tag, a file, or `"random"`.
        weights_sha256: of the file of weights; None for random ones and those of a network in memory.
        trained: what that file says besides; None for random weights.
        classes: what the scores stand for, in their order; None if nobody says.
        preprocess: how images are prepared, all of it, in the graph or before.
        interface: what goes in and comes out.
        rewrites: the exact rewrites of the network, see `resnexus optimize --list`.
        opset: version of ONNX's operators; None for other formats.
        instruction_set: of the processor that compiled code needs; None for what is no code.
        int8: what of it computes in int8; None if nothing does.
        notes: what its user should know, in sentences.
        versions: package -> version of what made it.
        agreement: of the scores, or the feature maps, with those of the plain network, on the pictures that it was
            compared on.
        heatmap_agreement: of the heat maps, likewise; None without them.
        pictures: on how many.
        tolerance: what the largest difference may be, over the largest score, or the largest value of a map.
        version: of the Resnexus that wrote it.
    """

    format: str
    row: Architecture
    output_stride: int | None = None
    weights: str
    weights_sha256: str | None = None
    trained: CheckpointRecord | None = None
    classes: tuple[str, ...] | None = None
    preprocess: Preprocess
    interface: Interface
    rewrites: tuple[str, ...] = ()
    opset: int | None = None
    instruction_set: str | None = None
    int8: Int8 | None = None
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str]
    agreement: Agreement | None = None
    heatmap_agreement: Agreement | None = None
    pictures: int = 0
    tolerance: float | None = None
    version: str = __version__


def record_text(record: ArtefactRecord) -> str:
    """Return a record as one line of ASCII, which every format can hold."""
    return json.dumps(asdict(record))


def read_text(text: str, where: str) -> ArtefactRecord:
    """Return the record that `record_text` wrote.

    Raises:
        RecordError: something else is there; names `where` and the place in it.
    """
    return from_json(ArtefactRecord, text, where)


def model_info(record: ArtefactRecord) -> dict[str, str]:
    """Return what OpenVINO's Model API reads: the type of the model, where it has one, labels, and how to normalise.

    Labels are separated by blanks there, so that blanks within them become underscores. Mean and scale are those of
    intensities in 0..255, and left out where the graph normalises. Its ways to resize are not ours: `preprocess` in the
    record says what is right.
    """
    found = {} if record.interface.maps else {"model_type": "Classification"}
    if record.classes is not None:
        found["labels"] = " ".join("_".join(name.split()) for name in record.classes)
    if record.interface.included == "none":
        found["mean_values"] = _numbers(record.preprocess.mean)
        found["scale_values"] = _numbers(record.preprocess.std)
    if record.interface.multi_label:
        found["multilabel"] = "True"
    return found


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{255 * value:.9g}" for value in values)
