"""The page and what lies beside it, or the page with all of it inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from resnexus.artefacts.web.record import Interface, WebRecord, interface_of
from resnexus.artefacts.web.runtime import PACKAGE, VERSION, build_of, runtime_files
from resnexus.artefacts.web.scripts import ROOM, bundled
from resnexus.artefacts.web.weights import WeightsType, with_weights_as
from resnexus.errors import ResnexusError, printable
from resnexus.files import write_bytes, write_text
from resnexus.packages import required
from resnexus.progress import Progress
from resnexus.records import to_json
from resnexus.report.document import is_report
from resnexus.report.templates import shipped, template
from resnexus.version import __version__

GENERATOR = "resnexus export web"
"""By which a page is known as ours."""
MODEL, PAGE = "model.onnx", "index.html"

LONGEST_TEXT = 500_000_000
"""Characters of the longest text that every browser takes; V8's own limit is 2^29 - 24."""


def build_web(
    model: bytes,
    record: WebRecord,
    out: Path,
    *,
    single_file: bool = False,
    weights_type: WeightsType = "fp32",
    webgpu: bool = False,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a page that classifies pictures with a model, in the browser.

    Args:
        model: an ONNX model as `resnexus.artefacts.web.record.interface_of` wants it, its weights within.
        record: what it is.
        out: a folder, which a web server then has to serve; with `single_file` a file, which opens as it is.
        single_file: put everything into the page.
        weights_type: how weights are stored; what is computed is float32.
        webgpu: ship the build that can also run on the graphics processor; it is larger.
        offline: fetch nothing; by default what RESNEXUS_OFFLINE says.
        progress: told the megabytes of ONNX Runtime Web as they arrive.

    Returns:
        The page.

    Raises:
        ResnexusError: the model does not fit the record, something else lies where the page should be, a file cannot be
            written, a package of the extra `export` is missing, or the page would be too large.
        RuntimeFileError, DownloadError: ONNX Runtime Web cannot be had.
    """
    page = check_place(out, single_file=single_file)
    onnx = required("onnx")
    proto = onnx.load_from_string(model)
    interface = interface_of(proto, record)
    build = build_of(webgpu=webgpu)
    script, program = runtime_files(build, offline=offline, progress=progress)
    contents = {
        "runtime": (build.script, script.read_bytes()),
        "wasm": (build.program, program.read_bytes()),
        "model": (MODEL, with_weights_as(proto, weights_type).SerializeToString()),
    }
    embedded = {name: _embedded(*content) for name, content in contents.items()} if single_file else {}
    text = render(
        record,
        interface,
        {name: (file, len(content)) for name, (file, content) in contents.items()},
        embedded,
        weights_type=weights_type,
        webgpu=webgpu,
    )
    if not single_file:
        for file, content in contents.values():
            write_bytes(content, out / file)
    write_text(text, page)  # last: where there is a page, all that it needs is there
    return page


def check_place(out: Path, *, single_file: bool) -> Path:
    """Return where the page goes, if it may.

    Raises:
        ResnexusError: a name that is no page's, or somebody else's page is there.
    """
    if single_file and out.suffix != ".html":
        raise ResnexusError(f"{printable(out)}: a single file is a page, so give it a name that ends in .html")
    page = out if single_file else out / PAGE
    if page.exists() and not is_report(page, GENERATOR):
        raise ResnexusError(
            f"{printable(page)} is no page of ours and is not overwritten: choose another place, or move it away"
        )
    return page


def _embedded(file: str, content: bytes) -> str:
    text = base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()
    if len(text) > LONGEST_TEXT:
        raise ResnexusError(
            f"{file} of {len(content) / 1e6:,.0f} MB is too large for a single file: no browser reads a text of "
            f"{len(text) / 1e6:,.0f} million characters. Store the weights as fp16 or int8, or make a folder"
        )
    return text


def render(
    record: WebRecord,
    interface: Interface,
    files: Mapping[str, tuple[str, int]],
    embedded: Mapping[str, str],
    *,
    weights_type: WeightsType,
    webgpu: bool,
) -> str:
    """Return the page as HTML; the same input gives the same bytes.

    Args:
        record: what the page says.
        interface: how the model is run.
        files: `"runtime"`, `"wasm"` and `"model"` -> the name of the file beside the page, and its bytes.
        embedded: the same keys -> gzip in base64; empty if the files lie beside the page.
        weights_type: how weights are stored.
        webgpu: whether the graphics processor may be chosen.
    """
    total = sum(size for _, size in files.values())
    settings = {
        "classes": list(record.classes),
        "preprocess": record.preprocess.to_dict(),
        "multiLabel": record.multi_label,
        "interface": asdict(interface),
        "files": {name: file for name, (file, _) in files.items()},
        "megabytes": round(total / 1e6),
    }
    css, script = shipped("page.css") + shipped("page.css", ROOM), bundled("page.js")
    classes = f"{len(record.classes):,} classes" if len(record.classes) > 1 else "one class"
    return str(
        template("page.html", ROOM).render(
            policy=_policy(script, css, single_file=bool(embedded)),
            generator=GENERATOR,
            title=printable(record.name),
            classes=classes,
            css=css,
            script=script,
            worker=f'"use strict";\n{bundled("worker.js")}',
            settings=to_json(settings).replace("<", "\\u003c"),
            embedded=embedded,
            heat=interface.maps is not None,
            webgpu=webgpu,
            notes=list(map(printable, record.notes)),
            facts=_facts(record, files, weights_type),
        )
    )


def _policy(script: str, css: str, *, single_file: bool) -> str:
    """Return what the browser lets the page do: run what is in it, and read what lies beside it, and nothing else."""
    rules = {
        "default-src": "'none'",
        "script-src": f"'{_digest(script)}' blob: 'wasm-unsafe-eval'",
        "style-src": f"'{_digest(css)}'",
        "img-src": "data:",
        "worker-src": "blob:",
        "connect-src": "'none'" if single_file else "'self' blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{rule} {sources}" for rule, sources in rules.items())


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _facts(
    record: WebRecord, files: Mapping[str, tuple[str, int]], weights_type: WeightsType
) -> dict[str, list[tuple[str, str]]]:
    prepared = record.preprocess
    weights = {"fp32": "32-bit floats", "fp16": "16-bit floats", "int8": "8-bit whole numbers"}[weights_type]
    return {
        "Network": [("Classes", f"{len(record.classes):,}"), *map(_printable, record.facts)],
        "Preparation": [
            ("Short side", f"{prepared.resize_short} pixels"),
            ("Crop", f"{prepared.size} pixels, the centre"),
            ("Resize", f"{prepared.interpolation}, {'averaging' if prepared.antialias else 'four pixels'}"),
            ("Mean", ", ".join(map(str, prepared.mean))),
            ("Standard deviation", ", ".join(map(str, prepared.std))),
        ],
        "This page": [
            ("Weights", f"{weights}, {files['model'][1] / 1e6:,.1f} MB"),
            ("Computes in", "32-bit floats"),
            ("Runs on", f"{PACKAGE} {VERSION} (MIT licence)"),
            ("Made by", f"Resnexus {__version__}"),
        ],
    }


def _printable(fact: tuple[str, str]) -> tuple[str, str]:
    return printable(fact[0]), printable(fact[1])
