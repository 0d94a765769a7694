"""The configuration beside saved weights, in the shape of timm's, which the Hugging Face Hub knows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.data.preprocess import Preprocess
from resnexus.errors import printable
from resnexus.records import RecordError, from_plain, read_json
from resnexus.version import __version__
from resnexus.weights.checkpoint_file import CheckpointRecord
from resnexus.weights.mapping import FIRST_CONV

CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """Our part of a configuration; the other parts are written for other readers.

    Attributes:
        version: of the Resnexus that wrote it.
        checkpoint: published name of the weights; None if they are others.
        row: the network.
        preprocess: how images are to be prepared.
    """

    version: str
    checkpoint: str | None
    row: Architecture
    preprocess: Preprocess


def read_config(folder: Path) -> HubConfig:
    """Return our part of the configuration in a folder.

    Raises:
        RecordError: no configuration, or none of ours.
    """
    path = folder / CONFIG
    content = read_json(dict[str, Any], path)
    if "resnexus" not in content:
        raise RecordError(f"{printable(path)} does not describe a network of Resnexus: it has no part 'resnexus'")
    return from_plain(HubConfig, content["resnexus"], where=f"{path}: resnexus")


def config_of(model: Network, record: CheckpointRecord, preprocess: Preprocess) -> dict[str, Any]:
    """Return the configuration of a network: timm's fields with the preprocessing, and ours.

    Args:
        model: the network.
        record: of its weights.
        preprocess: how its images are to be prepared.
    """
    size = preprocess.size
    side = -(-size // model.output_stride)
    return {
        "architecture": model.architecture.name,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "global_pool": "avg",
        "model_args": _changed_fields(model.architecture),
        "pretrained_cfg": {
            "tag": record.tag or "",
            "custom_load": False,
            "input_size": [model.in_chans, size, size],
            "fixed_input_size": False,
            "pool_size": [side, side],
            "crop_pct": size / preprocess.resize_short,
            "crop_mode": "center",
            "interpolation": preprocess.interpolation,
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "num_classes": model.num_classes,
            "first_conv": FIRST_CONV.removesuffix(".weight"),
            "classifier": "head",
            "license": record.licence,
            **({} if record.classes is None else {"label_names": list(record.classes)}),
        },
        "resnexus": asdict(
            HubConfig(version=__version__, checkpoint=record.checkpoint, row=model.architecture, preprocess=preprocess)
        ),
    }


def _changed_fields(row: Architecture) -> dict[str, Any]:
    """Return the fields that the row of this name has otherwise, as timm passes them to `resnexus.timm`."""
    known = CATALOG.get(row.name, row)
    return {field: value for field, value in asdict(row).items() if value != getattr(known, field)}
