"""ONNX's graphs: the weights of an operation are initialisers, in int8 behind a DequantizeLinear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.int8 import Operation, gate_operations, quantised
from resnexus.architectures.network import Network
from resnexus.errors import ResnexusError
from resnexus.packages import required
from resnexus.quantisation.forms.contract import Array, Form

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})


@final
class OnnxForm(Form):
    """QuantizeLinear and DequantizeLinear around operations in float32, which a runtime fuses to operations in int8."""

    format = "onnx"
    engine = "onnxruntime"

    def weights(self, model: Any) -> dict[str, Array]:
        """Return the initialisers that the operations read."""
        to_array = required("onnx").numpy_helper.to_array
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        return {
            node.name: to_array(tensors[node.input[1]])
            for node in model.graph.node
            if node.op_type in _WEIGHTED and node.input[1] in tensors
        }

    def quantised(self, model: Any, images: Tensor, left_alone: Sequence[str]) -> Any:
        """Quantise a copy."""
        copy = required("onnx").ModelProto()
        copy.CopyFrom(model)
        names = dict.fromkeys((*gate_operations(operations(copy)), *left_alone))
        given = copy.graph.input[0].name
        return quantised(copy, [{given: image[None].numpy()} for image in images], list(names))

    def in_int8(self, model: Any) -> frozenset[str]:
        """Return the operations whose weights are dequantised."""
        restored = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
        return frozenset(
            node.name for node in model.graph.node if node.op_type in _WEIGHTED and node.input[1] in restored
        )

    def half(self, path: Path, network: Network) -> Callable[[Array], object]:
        """Refuse: there is none."""
        raise ResnexusError("ONNX Runtime has no convolutions in bfloat16 for the CPU")


def operations(model: Any) -> list[Operation]:
    """Return the operations of a model, in the order in which they run."""
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    maker = {output: node.name for node in nodes for output in node.output}
    return [
        Operation(
            name=node.name,
            kind=node.op_type.lower(),
            inputs=tuple(maker[name] for name in node.input if name in maker),
        )
        for node in nodes
    ]


FORM = OnnxForm()
