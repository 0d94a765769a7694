"""OpenVINO's own format: a graph in `.xml`, and beside it the weights in `.bin`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

from resnexus.artefacts.formats.contract import Array, Format, Opened
from resnexus.artefacts.graph import Deployed, program
from resnexus.artefacts.record import (
    MODEL_INFO,
    RECORD_KEY,
    ArtefactRecord,
    Interface,
    model_info,
    read_text,
    record_text,
)
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required
from resnexus.signal_stack import signal_stack_kept


@final
class OpenVinoFormat(Format):
    """The record is in `rt_info`, beside what OpenVINO's Model API looks for there."""

    name = "openvino"
    suffix = ".xml"
    packages = ("openvino",)
    maps = True

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the model."""
        if record.interface.included == "full":
            raise ResnexusError(
                "preprocess='full' is not for OpenVINO, which computes where pixels lie in float32: give "
                "preprocess='normalise', or the format onnx"
            )
        model = required("openvino").convert_model(program(deployed))
        model.reshape(_shape(record.interface))
        model.input(0).get_tensor().set_names({record.interface.input})
        for output, name in zip(model.outputs, record.interface.outputs, strict=True):
            output.get_tensor().set_names({name})
        return model, record

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write both files, weights in float32."""
        for key, value in model_info(record).items():
            built.set_rt_info(value, [MODEL_INFO, key])
        built.set_rt_info(record_text(record), RECORD_KEY)
        required("openvino").save_model(built, path, compress_to_fp16=False)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the weights and the graph."""
        return path.with_suffix(".bin"), path

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Compile the model for the CPU, to compute in float32; needs nothing but OpenVINO."""
        for file in self.files(path):
            if not file.is_file():
                raise ResnexusError(f"no such file: {printable(file)}")
        try:
            model = required("openvino").Core().read_model(path)
        except RuntimeError as error:
            reason = printable(" ".join(str(error).split()))[:300]
            raise ResnexusError(f"{printable(path)}: OpenVINO cannot open it: {reason}") from error
        if not model.has_rt_info(RECORD_KEY):
            raise ResnexusError(
                f"{printable(path)} says nothing about itself: expected a model that `resnexus export` wrote"
            )
        record = read_text(model.get_rt_info(RECORD_KEY).astype(str), f"the record in {path}")
        run_model = compiled(model, threads=threads)

        def run(images: Array) -> list[Array]:
            found = run_model(images)
            return [found[name] for name in record.interface.outputs]

        return Opened(record, run)


def compiled(model: Any, precision: str = "f32", threads: int | None = None) -> Any:
    """Compile a model, or the file of one, for the CPU.

    Args:
        model: what OpenVINO read, or a path.
        precision: what it computes in where it is not in int8; without this hint OpenVINO takes bfloat16 wherever the
            processor has it.
        threads: in which it computes, bound to no processor: several processes would be bound to the same ones. As
            many as OpenVINO takes if None.
    """
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision}
    if threads is not None:
        settings |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    with signal_stack_kept():
        return required("openvino").Core().compile_model(model, "CPU", settings)


def _shape(interface: Interface) -> list[Any]:
    """Return the shape of what goes in, with -1 for what is free."""
    side: int = interface.image_size if interface.sizes == "fixed" else -1
    if interface.included == "normalise":
        return [-1, side, side, interface.in_chans]
    return [-1, interface.in_chans, side, side]


FORMAT = OpenVinoFormat()
