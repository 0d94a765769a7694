"""The weights of an ONNX model in fewer bytes: the graph turns them back to float32, and computes as before."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from resnexus.errors import ResnexusError, printable, unknown
from resnexus.packages import required
from resnexus.parity.agreement import FLOAT32_TOLERANCE

Array = np.ndarray[Any, np.dtype[Any]]
WeightsType = Literal["fp32", "fp16", "int8"]

TOLERANCES: dict[WeightsType, float] = {"fp32": FLOAT32_TOLERANCE, "fp16": 0.01, "int8": 0.2}
"""Largest difference from the plain network over the largest logit: what rounding the weights does, with a margin."""

_LEAST = 1024
"""Numbers of a tensor from which it pays; what is smaller, as are biases, stays float32."""
_STEPS = 127
"""int8 weights are whole numbers from -127 to 127 times the step of their output channel."""


def with_weights_as(model: Any, kind: WeightsType) -> Any:
    """Return a model whose weights are stored as `kind`.

    int8 has one step for every output channel, its largest weight over 127, so that a weight is off by half a step at
    most. The graph casts and scales the weights when it is opened: a runtime folds that away, and the model is as fast
    as before. Activations stay float32.

    Args:
        model: `onnx.ModelProto`, left as it is.
        kind: `"fp32"` changes nothing, `"fp16"` is half the bytes, `"int8"` a quarter.

    Raises:
        ResnexusError: another kind, or a weight beyond float16.
    """
    check_weights_type(kind)
    onnx = required("onnx")
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    if kind == "fp32":
        return smaller
    columns = _kept_by_column(model.graph)
    nodes: list[Any] = []
    del smaller.graph.initializer[:]
    for tensor in model.graph.initializer:
        if not _pays(onnx, tensor):
            smaller.graph.initializer.append(tensor)
            continue
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
        parts, restore = _as_half(onnx, name, values) if kind == "fp16" else _as_bytes(onnx, name, values, columns)
        smaller.graph.initializer.extend(onnx.numpy_helper.from_array(part, at) for at, part in parts.items())
        nodes.extend(restore)
    for node in reversed(nodes):  # before what reads them
        smaller.graph.node.insert(0, node)
    return smaller


def check_weights_type(kind: str) -> None:
    """Refuse what is no `WeightsType`."""
    if kind not in get_args(WeightsType):
        raise unknown("type of weights", kind, get_args(WeightsType))


def _pays(onnx: Any, tensor: Any) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1 and np.prod(tensor.dims) >= _LEAST


def _kept_by_column(graph: Any) -> set[str]:
    """Return the matrices whose output channels are columns: they are multiplied as they are."""
    return {
        node.input[1]
        for node in graph.node
        if node.op_type == "MatMul"
        or (node.op_type == "Gemm" and not any(entry.name == "transB" and entry.i for entry in node.attribute))
    }


def _as_half(onnx: Any, name: str, values: Array) -> tuple[dict[str, Array], list[Any]]:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise ResnexusError(
            f"{printable(name)} has a weight of {np.abs(values).max():g}, and float16 ends at 65504: store the weights "
            "as fp32 or int8"
        )
    stored = f"{name}.fp16"
    return {stored: half}, [onnx.helper.make_node("Cast", [stored], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT)]


def _as_bytes(onnx: Any, name: str, values: Array, columns: set[str]) -> tuple[dict[str, Array], list[Any]]:
    channel = values.ndim - 1 if name in columns else 0
    others = tuple(axis for axis in range(values.ndim) if axis != channel)
    largest = np.abs(values).max(axis=others, keepdims=True)
    step = np.where(largest > 0, largest / np.float32(_STEPS), 1).astype(np.float32)
    stored, scale, wide = f"{name}.int8", f"{name}.step", f"{name}.wide"
    nodes = [
        onnx.helper.make_node("Cast", [stored], [wide], f"{name}.cast", to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", [wide, scale], [name], f"{name}.scale"),
    ]
    return {stored: np.rint(values / step).clip(-_STEPS, _STEPS).astype(np.int8), scale: step}, nodes
