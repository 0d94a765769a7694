"""The page as a format of `resnexus.export`: written, compared with its network, and opened again."""

from __future__ import annotations

import base64
import gzip
import re
import tempfile
from pathlib import Path
from typing import Any, final

from torch.export import Dim

from resnexus.acceleration.backends.exporting import exported_for
from resnexus.artefacts.formats import onnx
from resnexus.artefacts.formats.contract import RECORD_FILE, Format, Opened
from resnexus.artefacts.graph import Deployed, example
from resnexus.artefacts.record import LOGITS, ArtefactRecord
from resnexus.artefacts.web.build import MODEL, PAGE, build_web, check_place
from resnexus.artefacts.web.maps import Mapped
from resnexus.artefacts.web.record import WebRecord
from resnexus.artefacts.web.runtime import build_of, runtime_files
from resnexus.artefacts.web.weights import TOLERANCES, WeightsType, check_weights_type
from resnexus.errors import ResnexusError, printable
from resnexus.files import write_bytes
from resnexus.progress import Progress
from resnexus.records import write_json

MAPS = "maps"
"""Name of the second output, the class activation maps of all classes."""

_EMBEDDED_MODEL = re.compile(r'<script type="text/plain" id="embedded-model">([\w+/=]+)</script>', re.ASCII)


@final
class WebFormat(Format):
    """A page that classifies pictures in the browser: a folder, or a single file.

    Args:
        single_file: put everything into the page.
        weights_type: how weights are stored, `"fp32"`, `"fp16"` or `"int8"`; what is computed is float32.
        webgpu: ship the build of ONNX Runtime Web that can also run on the graphics processor.
        progress: told the megabytes of ONNX Runtime Web as they arrive.

    Raises:
        ResnexusError: another type of weights.
    """

    name = "web"
    packages = ("jinja2", "onnx", "onnxscript", "onnxruntime")

    def __init__(
        self,
        *,
        single_file: bool = False,
        weights_type: WeightsType = "fp32",
        webgpu: bool = False,
        progress: Progress | None = None,
    ) -> None:
        check_weights_type(weights_type)
        self.single_file, self.weights_type, self.webgpu = single_file, weights_type, webgpu
        self.suffix = ".html" if single_file else ""
        self.tolerance = TOLERANCES[weights_type]
        self.progress = progress

    def check(self, out: Path) -> None:
        """Refuse to write over a page of somebody else, and fetch ONNX Runtime Web if it is not there."""
        check_place(out, single_file=self.single_file)
        runtime_files(build_of(webgpu=self.webgpu), progress=self.progress)

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the model, prepared pictures -> logits and maps of all classes, and the version of its operators.

        Raises:
            ResnexusError: what is asked for is not for a page.
        """
        interface = record.interface
        for option, value, only in (
            ("preprocess", interface.included, "none"),
            ("sizes", interface.sizes, "fixed"),
            ("heatmap", interface.heatmap, False),
        ):
            if value != only:
                raise ResnexusError(
                    f"{option}={value!r} has no effect on the format web: the page prepares pictures itself, at one "
                    "size, and always has heat maps"
                )
        exported = exported_for(Mapped(deployed.network), example(interface), {0: Dim("batch", min=1)})
        return onnx.model_of(exported, record, (LOGITS, MAPS))

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the page, and beside it, if it is a folder, model, runtime and record."""
        onnx.describe(built, record)
        if not self.single_file:
            write_json(record, path / RECORD_FILE)
        build_web(
            built.SerializeToString(),
            web_record(record, built.graph.output[0].type.tensor_type.shape.dim[1].dim_value),
            path,
            single_file=self.single_file,
            weights_type=self.weights_type,
            webgpu=self.webgpu,
        )

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the page, and before it what lies beside it."""
        if self.single_file or path.is_file():
            return (path,)
        build = build_of(webgpu=self.webgpu)
        return tuple(path / name for name in (build.script, build.program, MODEL, RECORD_FILE, PAGE))

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Open the model of a page."""
        if path.is_dir():
            return onnx.FORMAT.open(path / MODEL, threads)
        with tempfile.TemporaryDirectory() as folder:
            write_bytes(embedded_model(path), Path(folder) / MODEL)
            return onnx.FORMAT.open(Path(folder) / MODEL, threads)


def embedded_model(page: Path) -> bytes:
    """Return the ONNX model within a page that is a single file.

    Raises:
        ResnexusError: there is none.
    """
    found = _EMBEDDED_MODEL.search(page.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise ResnexusError(f"{printable(page)} is no page that `resnexus export --single-file` wrote")
    return gzip.decompress(base64.b64decode(found[1]))


def web_record(record: ArtefactRecord, classes: int) -> WebRecord:
    """Return what a page says of an artefact with so many classes; those that have no names are numbered."""
    trained = record.trained
    facts = [("Architecture", record.row.name), ("Weights", record.weights)]
    if record.weights_sha256 is not None:
        facts.append(("Weights, SHA-256", record.weights_sha256))
    if trained is not None:
        if trained.licence is not None:
            facts.append(("Licence", trained.licence))
        if "top1" in (trained.metrics or {}):
            facts.append(("Top-1, as recorded", f"{100 * (trained.metrics or {})['top1']:.1f} %"))
    if record.agreement is not None:
        found, same = record.agreement, record.agreement.top1
        facts.append(("Difference", f"{found.max_rel:.1e} of the largest logit, from the network in Python"))
        facts.append(("Same class", f"{100 * (same or 0):.0f} % of {record.pictures} pictures"))
    return WebRecord(
        name=record.row.name,
        classes=record.classes or tuple(f"class {number}" for number in range(classes)),
        preprocess=record.preprocess,
        multi_label=record.interface.multi_label,
        facts=tuple(facts),
        notes=record.notes,
    )


FORMAT = WebFormat()
