"""OpenVINO's graphs: the weights of an operation are constants, in int8 behind a conversion and a product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.openvino import BACKEND, quantised_model
from resnexus.architectures.network import Network
from resnexus.artefacts.formats.openvino import compiled
from resnexus.errors import ResnexusError
from resnexus.quantisation.forms.contract import Array, Form

_WEIGHTED = frozenset({"Convolution", "GroupConvolution", "MatMul"})
_INT8 = frozenset({"i8", "u8"})


@final
class OpenVinoForm(Form):
    """Gates are found, and ranges taken, as the engine of OpenVINO in int8 does."""

    format = "openvino"
    engine = "openvino"

    def weights(self, model: Any) -> dict[str, Array]:
        """Return the constants that the operations read."""
        return {
            operation.get_friendly_name(): constant.data
            for operation, constant in _constants(model)
            if constant.get_element_type().get_type_name() == "f32"
        }

    def quantised(self, model: Any, images: Tensor, left_alone: Sequence[str]) -> Any:
        """Quantise for batches of one, and free the batch again."""
        found = quantised_model(model.clone(), images, left_alone)
        found.reshape([-1, *images.shape[1:]])
        return found

    def in_int8(self, model: Any) -> frozenset[str]:
        """Return the operations whose constant is in int8."""
        return frozenset(
            operation.get_friendly_name()
            for operation, constant in _constants(model)
            if constant.get_element_type().get_type_name() in _INT8
        )

    def half(self, path: Path, network: Network) -> Callable[[Array], object]:
        """Compile the artefact to compute in bfloat16."""
        if "bf16" not in BACKEND.precisions("cpu"):
            raise ResnexusError("OpenVINO finds no bfloat16 in this processor")
        return compiled(path, "bf16")


def _constants(model: Any) -> list[tuple[Any, Any]]:
    """Return operations with weights, each with the constant that its second input comes from."""
    found = []
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in _WEIGHTED:
            source = operation.input_value(1).get_node()
            while source.get_type_name() != "Constant" and source.get_input_size():
                source = source.input_value(0).get_node()
            if source.get_type_name() == "Constant":
                found.append((operation, source))
    return found


FORM = OpenVinoForm()
