"""The formats by name, and which of them a file or folder is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from resnexus.artefacts.formats.contract import RECORD_FILE, Format
from resnexus.artefacts.record import ArtefactRecord
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.records import read_json

# Module and name of each; imported on use.
_HOMES = {
    "onnx": ("formats.onnx", "FORMAT"),
    "openvino": ("formats.openvino", "FORMAT"),
    "pt2": ("formats.program", "FORMAT"),
    "safetensors": ("formats.checkpoint", "FORMAT"),
    "aoti": ("formats.compiled", "FORMAT"),
    "executorch": ("formats.executorch", "FORMAT"),
    "triton": ("formats.repository", "TRITON"),
    "ovms": ("formats.repository", "OVMS"),
    "web": ("web.format", "FORMAT"),
}
FORMATS = tuple(_HOMES)
_SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".pt2": "pt2", ".pte": "executorch", ".html": "web"}


def find_format(name: str) -> Format:
    """Return the format called `name`, whether what it needs is installed or not.

    Raises:
        ResnexusError: no format is called that.
    """
    if name not in _HOMES:
        raise unknown("format", name, _HOMES)
    module, constant = _HOMES[name]
    found: Format = getattr(import_module(f"resnexus.artefacts.{module}"), constant)
    return found


def format_of(path: Path) -> Format:
    """Return the format of a file or folder: by its suffix, and by its record where several formats look alike.

    Raises:
        ResnexusError: nothing is there, or something else.
    """
    if path.is_dir():
        if not (path / RECORD_FILE).is_file():
            raise ResnexusError(f"{printable(path)} is no artefact: it has no {RECORD_FILE}")
        return find_format(read_json(ArtefactRecord, path / RECORD_FILE).format)
    if not path.exists():
        raise ResnexusError(f"no such file or folder: {printable(path)}")
    if path.suffix not in _SUFFIXES:
        raise unknown("kind of artefact", printable(path.name), [f"*{suffix}" for suffix in _SUFFIXES])
    if path.suffix == ".pt2":
        from resnexus.artefacts.formats.program import archived_record

        return find_format(archived_record(path).format)
    return find_format(_SUFFIXES[path.suffix])


def is_artefact(path: Path) -> bool:
    """Whether something is an artefact by its name: the suffix of one, or a folder with a record."""
    return (path / RECORD_FILE).is_file() if path.is_dir() else path.suffix in _SUFFIXES
