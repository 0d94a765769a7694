"""Machine code of PyTorch's compiler, for one instruction set: an AOTInductor package."""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch

from resnexus.acceleration.backends.torch import compiling_in
from resnexus.artefacts.formats.contract import RECORD_FILE, Format, Opened
from resnexus.artefacts.formats.program import archived_record, torch_run
from resnexus.artefacts.graph import Deployed, program
from resnexus.artefacts.record import ArtefactRecord, record_text
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.machine import instructions, processor_name
from resnexus.packages import installed_version


@dataclass(frozen=True, kw_only=True)
class InstructionSet:
    """What a processor must have.

    Attributes:
        name: how the record calls it.
        march: how compilers call it, one of the levels of x86-64.
        bits: of a vector.
        flags: how Linux calls what is in it, as far as it matters here.
    """

    name: str
    march: str
    bits: int
    flags: frozenset[str]


_AVX2 = frozenset(("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"))

INSTRUCTION_SETS = {
    row.name: row
    for row in (
        InstructionSet(name="avx2", march="x86-64-v3", bits=256, flags=_AVX2),
        InstructionSet(
            name="avx512",
            march="x86-64-v4",
            bits=512,
            flags=_AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
        ),
    )
}


@final
class CompiledFormat(Format):
    """A shared library that needs a processor of its instruction set, this version of PyTorch, and to be trusted.

    Nothing is prepacked for the library of convolutions, which would do so for the processor it was compiled on.
    """

    name = "aoti"
    suffix = ".pt2"
    packages = ()
    runs_code = True

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the package as bytes; takes a C++ compiler, and a minute for 50 layers."""
        wanted = _known(record.instruction_set)
        _check_processor(wanted, record.row.name)
        from torch._inductor import aoti_compile_and_package

        archive = io.BytesIO()
        settings = {"cpp.march": wanted.march, "cpp.simdlen": wanted.bits}
        folder = Path(tempfile.gettempdir())
        with torch.no_grad(), compiling_in(folder):
            aoti_compile_and_package(program(deployed), package_path=archive, inductor_configs=settings)
        return archive.getvalue(), replace(record, instruction_set=wanted.name)

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write the package with the record as one more file in it."""
        path.write_bytes(built)
        with zipfile.ZipFile(path, "a") as archive:
            root = archive.namelist()[0].partition("/")[0]
            archive.writestr(f"{root}/extra/{RECORD_FILE}", record_text(record))

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Load the library, if it is for this processor and this PyTorch."""
        record = archived_record(path)
        _check_processor(_known(record.instruction_set), printable(path))
        made_by, here = record.versions.get("torch"), installed_version("torch")
        if made_by != here:
            raise ResnexusError(
                f"{printable(path)} was compiled for PyTorch {made_by}, and this is {here}: export it anew"
            )
        from torch._inductor import aoti_load_package

        return Opened(record, torch_run(aoti_load_package(str(path))))


def _known(name: str | None) -> InstructionSet:
    if name is None:
        raise ResnexusError(
            "the format aoti is machine code: say for which instruction set (--instruction-set), one of "
            f"{', '.join(INSTRUCTION_SETS)}"
        )
    if name not in INSTRUCTION_SETS:
        raise unknown("instruction set", name, INSTRUCTION_SETS)
    return INSTRUCTION_SETS[name]


def _check_processor(wanted: InstructionSet, what: str) -> None:
    missing = sorted(wanted.flags - instructions())
    if missing:
        raise ResnexusError(
            f"{what}: code for {wanted.name} does not run on this processor, {processor_name()}, which lacks "
            f"{', '.join(missing)}"
        )


FORMAT = CompiledFormat()
