"""ONNX: one file with the weights in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, final

from resnexus.acceleration.backends.exporting import onnx_program
from resnexus.artefacts.formats.contract import Format, Opened
from resnexus.artefacts.graph import Deployed, program
from resnexus.artefacts.record import MODEL_INFO, RECORD_KEY, ArtefactRecord, model_info, read_text, record_text
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required
from resnexus.parity.forms import onnx_session

_MOST_BYTES = 2**31 - 2**20
"""What one file of ONNX can be, which is a message of protobuf."""


@final
class OnnxFormat(Format):
    """The record is in `metadata_props`, beside what OpenVINO's Model API looks for there."""

    name = "onnx"
    suffix = ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the model as protobuf, and the version of its operators."""
        interface = record.interface
        translated = onnx_program(
            program(deployed), record.opset, input_names=[interface.input], output_names=list(interface.outputs)
        )
        model = translated.model_proto
        if model.ByteSize() > _MOST_BYTES:
            raise ResnexusError(f"{record.row.name}: {model.ByteSize():,} bytes, and a file of ONNX holds 2 GiB")
        model.producer_name, model.producer_version = RECORD_KEY, record.version
        for entry in (*model.graph.node, *model.graph.value_info, model.graph):
            del entry.metadata_props[:]  # what the exporter notes of our source, line by line
        (opset,) = (entry.version for entry in model.opset_import if entry.domain == "")
        return model, replace(record, opset=opset)

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the model once ONNX's own checker has passed it."""
        onnx = required("onnx")
        del built.metadata_props[:]
        onnx.helper.set_model_props(built, metadata(record))
        onnx.checker.check_model(built, full_check=True)
        path.write_bytes(built.SerializeToString())

    def open(self, path: Path) -> Opened:
        """Open a session on the CPU; needs nothing but ONNX Runtime."""
        session = onnx_session(path)
        found = session.get_modelmeta().custom_metadata_map
        if RECORD_KEY not in found:
            raise ResnexusError(
                f"{printable(path)} says nothing about itself: expected a file that `resnexus export` wrote; "
                "`resnexus verify` checks others"
            )
        record = read_text(found[RECORD_KEY], f"the record in {path}")
        name = session.get_inputs()[0].name
        return Opened(record, lambda images: session.run(list(record.interface.outputs), {name: images}))


def metadata(record: ArtefactRecord) -> dict[str, str]:
    """Return the metadata of a model: the record, and what OpenVINO's Model API reads."""
    peers = {f"{MODEL_INFO} {key}": value for key, value in model_info(record).items()}
    return {RECORD_KEY: record_text(record), **peers}


FORMAT = OnnxFormat()
