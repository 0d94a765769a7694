"""Folders that a model server takes as they are: Triton's, and OpenVINO Model Server's.

The folder is the model's own, and its name is the model's; what it lies in is the server's repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

from resnexus.artefacts.formats import onnx, openvino
from resnexus.artefacts.formats.contract import RECORD_FILE, Format, Opened
from resnexus.artefacts.graph import Deployed
from resnexus.artefacts.record import HEATMAP, ArtefactRecord, Interface
from resnexus.files import write_text
from resnexus.records import write_json

CONFIG, LABELS, VERSION = "config.pbtxt", "labels.txt", "1"

MAX_BATCH = 64
"""What Triton may put together of what waits."""


class RepositoryFormat(Format):
    """A file of another format as the first version of a model, with labels and record beside it."""

    suffix = ""
    inner: Format

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return what the file is made of."""
        return self.inner.build(deployed, record)

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the file, the labels and the record."""
        (path / VERSION).mkdir(exist_ok=True)
        self.inner.write(built, record, self._file(path))
        write_text("".join(f"{' '.join(name.split())}\n" for name in record.classes or ()), path / LABELS)
        write_json(record, path / RECORD_FILE)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the model, the labels and the record."""
        return *self.inner.files(self._file(path)), path / LABELS, path / RECORD_FILE

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Open the model as a file of its own."""
        return self.inner.open(self._file(path), threads)

    def _file(self, path: Path) -> Path:
        return path / VERSION / f"model{self.inner.suffix}"


@final
class TritonFormat(RepositoryFormat):
    """Triton runs it in ONNX Runtime, and puts single requests together to batches."""

    name = "triton"
    inner = onnx.FORMAT
    packages = onnx.FORMAT.packages

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the model and what Triton is to know of it."""
        write_text(configuration(record), path / CONFIG)
        super().write(built, record, path)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the configuration, too."""
        return path / CONFIG, *super().files(path)


@final
class ModelServerFormat(RepositoryFormat):
    """OpenVINO Model Server needs no configuration; start it with INFERENCE_PRECISION_HINT f32 for the same answers."""

    name = "ovms"
    inner = openvino.FORMAT
    packages = openvino.FORMAT.packages


def configuration(record: ArtefactRecord) -> str:
    """Return Triton's `config.pbtxt`, without the name of the model, which is then that of its folder."""
    interface = record.interface
    batched = interface.included != "full"
    axes = interface.axes[1:] if batched else interface.axes
    given = ", ".join(str(axis) if isinstance(axis, int) else "-1" for axis in axes)
    lines = [
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MAX_BATCH if batched else 0}",
        f'input [ {{ name: "{interface.input}" data_type: {_TYPES[interface.dtype]} dims: [ {given} ] }} ]',
        f"output [ {', '.join(_output(name, interface, record) for name in interface.outputs)} ]",
    ]
    if batched:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}


def _output(name: str, interface: Interface, record: ArtefactRecord) -> str:
    count = -1 if record.classes is None else len(record.classes)
    axes = [-1, -1] if name == HEATMAP else [count]
    if interface.included == "full":
        axes = [1, *axes]
    labels = f' label_filename: "{LABELS}"' if name != HEATMAP and record.classes is not None else ""
    return f'{{ name: "{name}" data_type: TYPE_FP32 dims: [ {", ".join(map(str, axes))} ]{labels} }}'


TRITON, OVMS = TritonFormat(), ModelServerFormat()
