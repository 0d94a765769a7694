"""Which operations of a graph are gates, told by how they hang together."""

import pytest

from resnexus.acceleration.backends.int8 import Operation, gate_operations


def graph(**operations):
    return [Operation(name=name, kind=kind, inputs=tuple(inputs)) for name, (kind, *inputs) in operations.items()]


@pytest.mark.parametrize(
    ("mean", "product"), [("reducemean", "multiply"), ("mean", "mul")], ids=["OpenVINO", "PyTorch and ONNX"]
)
def test_a_gate_reaches_from_the_mean_to_the_product(mean, product):
    found = gate_operations(
        graph(
            images=("parameter",),
            conv=("convolution", "images"),
            squeezed=(mean, "conv"),
            squeeze=("matmul", "squeezed"),
            relu=("relu", "squeeze"),
            excite=("matmul", "relu"),
            gate=("sigmoid", "excite"),
            wide=("unsqueeze", "gate"),
            gated=(product, "conv", "wide"),
            pooled=(mean, "gated"),
            head=("matmul", "pooled"),
        )
    )
    assert sorted(found) == sorted(["squeezed", "squeeze", "relu", "excite", "gate", "wide", "gated"])


def test_a_gate_of_several_means_and_two_gates():
    found = gate_operations(
        graph(
            first=("convolution",),
            second=("convolution",),
            one=("mean", "first"),
            two=("mean", "second"),
            both=("cat", "one", "two"),
            gate=("sigmoid", "both"),
            projection=("convolution", "first"),
            gated=("mul", "projection", "gate"),
            mean=("mean", "gated"),
            other=("sigmoid", "mean"),
            product=("mul", "gated", "other"),
        )
    )
    assert sorted(found) == sorted(["one", "two", "both", "gate", "gated", "mean", "other", "product"])


def test_a_graph_without_gates_has_none():
    assert gate_operations(graph(images=("parameter",), conv=("conv2d", "images"), head=("linear", "conv"))) == []
