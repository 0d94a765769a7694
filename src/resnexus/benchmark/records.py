"""The records that measurements leave behind, and their JSON; tables and figures are built from nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from resnexus.benchmark.environment import Environment
from resnexus.errors import ResnexusError, unknown
from resnexus.files import write_text

SCHEMA = 1

Record = TypeVar("Record")


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
        object.__setattr__(self, "throughput_img_s", 1e3 * self.batch_size / self.median_ms)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one network.

    Attributes:
        seed: of the initial weights, the order of the images and the augmentation.
        top1: accuracy on the validation images after the last epoch, a fraction.
        top5: as `top1`, or among all classes if there are fewer than five.
        images: validation images evaluated.
        skipped: validation images that could not be read, each with the reason.
        epochs: passes over the training images.
        seconds: of training.
    """

    seed: int
    top1: float
    top5: float
    images: int
    skipped: tuple[str, ...]
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """What was counted and measured of one network on the user's data.

    Attributes:
        name: of the network.
        family: `"ResNet"`, `"ResNeXt"`, `"SENet"` or `"Res2Net"`.
        line: networks with the same line are joined in the figures.
        image_size: pixels on a side.
        gflops: 2 x multiply-adds / 1e9 per image, counted.
        mparams: trainable parameters in millions, counted.
        runs: one per seed.
    """

    name: str
    family: str
    line: str
    image_size: int
    gflops: float
    mparams: float
    runs: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class WrongCell:
    """A published figure that is wrong, and why; `counted` is None if it cannot be counted."""

    field: str
    published: float
    counted: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class SeriesNetwork:
    """One network of the series: what was published beside what was counted.

    Attributes:
        name: of the checkpoint, e.g. `"Res2Net50_vd_26w_4s_ssld"`, or of the baseline.
        architecture: the network's row.
        family: as for `TrainedNetwork`.
        line: as for `TrainedNetwork`.
        top1: published, a fraction.
        top5: published, a fraction.
        reference_top1: the paper's, or None.
        reference_top5: the paper's, or None.
        published_gflops: as printed.
        published_mparams: as printed.
        gflops: counted.
        mparams: counted.
        v100_ms: published latency of one image on a V100 in fp32, or None.
        t4_ms: published latencies on a T4, by `"fp16_bs1"` .. `"fp32_bs8"`; empty if there are none.
        errata: the published cells that are wrong.
    """

    name: str
    architecture: str
    family: str
    line: str
    top1: float
    top5: float
    reference_top1: float | None
    reference_top5: float | None
    published_gflops: float
    published_mparams: float
    gflops: float
    mparams: float
    v100_ms: float | None
    t4_ms: dict[str, float]
    errata: tuple[WrongCell, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that `resnexus compare` counted and measured; the report is built from this alone.

    Attributes:
        data: name of the data set.
        classes: how many.
        train_images: how many.
        val_images: how many.
        settings: the training settings, name -> value, the same for every network.
        environment: where it was measured.
        networks: trained on the data, in the order in which they were asked for.
        latency: of these networks, at their image size.
        series: the published table beside what was counted.
        series_latency: of the series at 224x224; not all networks if `quick`.
        quick: whether the series was timed in the quick mode: few networks, few repeats.
        schema: version of this layout.
    """

    data: str
    classes: int
    train_images: int
    val_images: int
    settings: dict[str, str | int | float | bool | None]
    environment: Environment
    networks: tuple[TrainedNetwork, ...]
    latency: tuple[Cell, ...]
    series: tuple[SeriesNetwork, ...]
    series_latency: tuple[Cell, ...]
    quick: bool
    schema: int = field(default=SCHEMA)


def to_json(record: Any) -> str:
    """Return a record, or a dict or list of plain values, as JSON."""
    content = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    return json.dumps(content, indent=1, ensure_ascii=False)


def write_json(record: Any, path: Path) -> None:
    """Write a record, or a dict or list of plain values, to `path`: whole or not at all.

    Raises:
        ResnexusError: the file cannot be written; names the path and the system's reason.
    """
    write_text(to_json(record) + "\n", path)


def read_json(kind: type[Record], path: Path) -> Record:
    """Read a record of type `kind` that `write_json` wrote.

    Raises:
        ResnexusError: no such file, no JSON, or not a record of that kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResnexusError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ResnexusError(f"{path} is not JSON: {error}") from error
    return from_dict(kind, content, where=str(path))


def from_dict(kind: type[Record], content: Any, where: str) -> Record:
    """Build a record of type `kind` from plain values, strictly.

    Raises:
        ResnexusError: an unknown or missing field; names it and `where` it was.
    """
    if not isinstance(content, Mapping):
        raise ResnexusError(f"{where}: expected an object for {kind.__name__}, found {type(content).__name__}")
    hints = get_type_hints(kind)
    known = {item.name: item.init for item in fields(kind)}  # type: ignore[arg-type]
    for name in content:
        if name not in known:
            raise unknown(f"field of {kind.__name__} in {where}", name, known)
    given = {name: value for name, value in content.items() if known[name]}  # the others follow from these
    try:
        return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in given.items()})
    except TypeError as error:
        raise ResnexusError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if get_origin(hint) in (Union, UnionType) and value is not None:
        inner = [option for option in get_args(hint) if option is not type(None)]
        return _value(inner[0], value, where) if len(inner) == 1 else value
    return value
