"""Weights in safetensors beside a configuration in timm's shape: the folder that the Hugging Face Hub and timm read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, final

from resnexus.artefacts.formats.contract import RECORD_FILE, Format, Opened
from resnexus.artefacts.formats.program import torch_run
from resnexus.artefacts.graph import Deployed
from resnexus.artefacts.record import ArtefactRecord
from resnexus.records import read_json, write_json
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from resnexus.weights.hub import WEIGHTS, from_pretrained
from resnexus.weights.hub_config import CONFIG, config_of


@final
class CheckpointFormat(Format):
    """The record is a file of its own, beside the configuration and the record in the weights."""

    name = "safetensors"
    suffix = ""
    packages = ("safetensors",)
    rewrites = False
    weights_only = True

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the network."""
        return deployed.network, record

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the weights, the configuration and the record."""
        weights = replace(
            record.trained or CheckpointRecord(),
            architecture=record.row,
            classes=record.classes,
            preprocess=record.preprocess,
            multi_label=record.interface.multi_label,
        )
        write_checkpoint(built.state_dict(), path / WEIGHTS, weights)
        write_json(config_of(built, weights, record.preprocess), path / CONFIG)
        write_json(record, path / RECORD_FILE)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the three files."""
        return path / WEIGHTS, path / CONFIG, path / RECORD_FILE

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Build the network around the weights."""
        record = read_json(ArtefactRecord, path / RECORD_FILE)
        deployed = Deployed(from_pretrained(path).eval(), record.preprocess, record.interface)
        return Opened(record, torch_run(deployed))


FORMAT = CheckpointFormat()
