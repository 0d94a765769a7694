"""PyTorch's own archive of an exported program, `.pt2`."""

from __future__ import annotations

import io
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any, final

import torch

from resnexus.artefacts.formats.contract import RECORD_FILE, Array, Format, Opened
from resnexus.artefacts.graph import Deployed, program
from resnexus.artefacts.record import ArtefactRecord, read_text, record_text
from resnexus.errors import ResnexusError, printable


@final
class ProgramFormat(Format):
    """The record is an extra file in the archive.

    PyTorch's reader unpickles and evaluates parts of the archive, so that one made for it can run code.
    """

    name = "pt2"
    suffix = ".pt2"
    packages = ()
    maps = True
    runs_code = True

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the exported program."""
        return program(deployed), record

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the archive."""
        archive = io.BytesIO()  # PyTorch's own writer of files ends the process where the disk is full
        torch.export.save(built, archive, extra_files={RECORD_FILE: record_text(record)})
        path.write_bytes(archive.getbuffer())

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Load the program; needs PyTorch and none of our networks."""
        record = archived_record(path)
        if record.int8 is not None:
            import_module("torch.ao.quantization.fx._decomposed")  # registers the operators that it is written with
        try:
            module = torch.export.load(path).module()
        except Exception as error:  # PyTorch raises whatever a damaged archive leads it to
            raise ResnexusError(f"{printable(path)}: PyTorch cannot open it: {printable(error)[:300]}") from error
        return Opened(record, torch_run(module))


def torch_run(module: Any) -> Any:
    """Return a module as a `Run`."""

    def run(images: Array) -> list[Array]:
        with torch.inference_mode():
            return [output.numpy() for output in module(torch.from_numpy(images))]

    return run


def archived_record(path: Path) -> ArtefactRecord:
    """Return the record in an archive of PyTorch; nothing of it is run.

    Raises:
        ResnexusError: no such file, no archive, or one without a record.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == RECORD_FILE]
            if len(names) == 1:
                return read_text(archive.read(names[0]).decode(), f"the record in {path}")
    except OSError as error:
        raise ResnexusError(f"cannot read {printable(path)}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ResnexusError(f"{printable(path)} is no archive of PyTorch: {printable(error)}") from error
    raise ResnexusError(
        f"{printable(path)} says nothing about itself: expected an archive that `resnexus export` wrote"
    )


FORMAT = ProgramFormat()
