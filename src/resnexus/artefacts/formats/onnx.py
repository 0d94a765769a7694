"""ONNX: one file with the weights in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from torch.export import ExportedProgram

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
    maps = True

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the model as protobuf, and the version of its operators."""
        return model_of(program(deployed), record, record.interface.outputs)

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the model once ONNX's own checker has passed it."""
        describe(built, record)
        path.write_bytes(built.SerializeToString())

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Open a session on the CPU; needs nothing but ONNX Runtime."""
        session = onnx_session(path, threads)
        found = session.get_modelmeta().custom_metadata_map
        if RECORD_KEY not in found:
            raise ResnexusError(
                f"{printable(path)} says nothing about itself: expected a file that `resnexus export` wrote; "
                "`resnexus verify` checks others"
            )
        record = read_text(found[RECORD_KEY], f"the record in {path}")
        name = session.get_inputs()[0].name
        return Opened(record, lambda images: session.run(list(record.interface.outputs), {name: images}))


def model_of(exported: ExportedProgram, record: ArtefactRecord, outputs: Sequence[str]) -> tuple[Any, ArtefactRecord]:
    """Return a program as an `onnx.ModelProto` with the weights within, and the record with its version of operators.

    Args:
        exported: takes what the record's interface says.
        record: of the artefact.
        outputs: names of all that comes out.

    Raises:
        ResnexusError: it is larger than a file of ONNX can be.
    """
    translated = onnx_program(exported, record.opset, input_names=[record.interface.input], output_names=list(outputs))
    model = translated.model_proto
    if model.ByteSize() > _MOST_BYTES:
        raise ResnexusError(f"{record.row.name}: {model.ByteSize():,} bytes, and a file of ONNX holds 2 GiB")
    model.producer_name, model.producer_version = RECORD_KEY, record.version
    for entry in (*model.graph.node, *model.graph.value_info, model.graph):
        del entry.metadata_props[:]  # what the exporter notes of our source, line by line
    (opset,) = (entry.version for entry in model.opset_import if entry.domain == "")
    return model, replace(record, opset=opset)


def describe(model: Any, record: ArtefactRecord) -> None:
    """Put the record into a model, and let ONNX's own checker look at it."""
    onnx = required("onnx")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata(record))
    onnx.checker.check_model(model, full_check=True)


def metadata(record: ArtefactRecord) -> dict[str, str]:
    """Return the metadata of a model: the record, and what OpenVINO's Model API reads."""
    peers = {f"{MODEL_INFO} {key}": value for key, value in model_info(record).items()}
    return {RECORD_KEY: record_text(record), **peers}


FORMAT = OnnxFormat()
