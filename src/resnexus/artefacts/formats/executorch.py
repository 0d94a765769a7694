"""ExecuTorch's programs for phones and small devices, `.pte`, with the layers of XNNPACK."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path
from typing import Any, final

import torch

from resnexus.artefacts.formats.contract import Format, Opened
from resnexus.artefacts.formats.program import torch_run
from resnexus.artefacts.graph import Deployed, program
from resnexus.artefacts.record import RECORD_KEY, ArtefactRecord, Interface, read_text, record_text
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required

_FORWARD = "forward"


@final
class ExecutorchFormat(Format):
    """The record is a method of the program that returns it, as ExecuTorch keeps what is no network.

    Memory is planned when the program is written, for the largest images that it takes. So it takes one of one size.
    What XNNPACK does not have, ExecuTorch's portable operators compute. A program is a list of operators, and no code.
    """

    name = "executorch"
    suffix = ".pte"
    packages = ("executorch",)
    batch = "one"

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the program in ExecuTorch's operators, those of XNNPACK put together."""
        _check(record.interface)
        partitioner = _module("backends.xnnpack.partition.xnnpack_partitioner").XnnpackPartitioner()
        lower = _module("exir").to_edge_transform_and_lower
        return lower(program(deployed), partitioner=[partitioner]), record

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Plan the memory and write the program, from a copy: ExecuTorch changes what it plans."""
        planned = _module("exir").EdgeProgramManager(
            {_FORWARD: copy.deepcopy(built.exported_program())}, {RECORD_KEY: record_text(record)}, built.compile_config
        )
        with torch.no_grad(), path.open("wb") as file:
            planned.to_executorch().write_to_file(file)

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Load the program; needs nothing but ExecuTorch, and PyTorch for arrays."""
        runtime = _module("runtime").Runtime.get()
        try:
            found = runtime.load_program(path)
            if not {_FORWARD, RECORD_KEY} <= found.method_names:
                raise ResnexusError(
                    f"{printable(path)} says nothing about itself: expected a program that `resnexus export` wrote"
                )
            (text,) = found.load_method(RECORD_KEY).execute([])
            forward = found.load_method(_FORWARD)
        except RuntimeError as error:
            raise ResnexusError(f"{printable(path)}: ExecuTorch cannot open it: {printable(error)[:300]}") from error
        record = read_text(str(text), f"the record in {path}")
        return Opened(record, torch_run(lambda images: forward.execute([images])))


def _module(name: str) -> Any:
    required("executorch")
    return import_module(f"executorch.{name}")


def _check(interface: Interface) -> None:
    """Refuse what has no largest size."""
    if interface.included == "full":
        raise ResnexusError(
            "preprocess='full' is not for ExecuTorch, which plans memory for images of a known size: give "
            "preprocess='normalise', or the format onnx"
        )
    if interface.sizes != "fixed":
        raise ResnexusError(
            f"sizes={interface.sizes!r} is not for ExecuTorch, which plans memory for images of a known size: give "
            "sizes='fixed', or the format onnx"
        )


FORMAT = ExecutorchFormat()
