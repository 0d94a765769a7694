"""Weights in fewer bytes: as exact as their type allows, and the same graph around them."""

import numpy as np
import pytest

from resnexus.artefacts.web.weights import with_weights_as
from resnexus.errors import ResnexusError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def run(model, name, values):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: values})


def with_values(model, replaced):
    """The model with other weights, all float32."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(numpy_helper.from_array(replaced[tensor.name], tensor.name))
    return copy


def weights_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def rounded(values, kind, channel=0):
    if kind == "fp16":
        return values.astype(np.float16).astype(np.float32)
    others = tuple(axis for axis in range(values.ndim) if axis != channel)
    step = np.abs(values).max(others, keepdims=True) / np.float32(127)
    return np.rint(values / step).astype(np.float32) * step


IMAGES = np.random.default_rng(1).normal(0, 1, (2, 3, 24, 24)).astype(np.float32)


@pytest.mark.parametrize(("kind", "bytes_per_weight"), [("fp16", 2), ("int8", 1)])
def test_the_model_computes_with_the_rounded_weights(make_model, kind, bytes_per_weight):
    model = make_model(classes=40)
    smaller = with_weights_as(model, kind)
    onnx.checker.check_model(smaller, full_check=True)
    own = weights_of(model)
    expected = with_values(model, {name: rounded(own[name], kind) for name in ("stem", "head")})
    for found, wanted in zip(run(smaller, "images", IMAGES), run(expected, "images", IMAGES), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    stored = weights_of(smaller)
    assert np.array_equal(stored["bias"], own["bias"])  # small ones stay
    assert sum(values.nbytes for name, values in stored.items() if name.split(".")[-1] in ("fp16", "int8")) == (
        bytes_per_weight * (own["stem"].size + own["head"].size)
    )
    assert [value.name for value in smaller.graph.output] == ["logits", "maps"]


def test_fp32_is_the_same_model_and_the_given_one_is_left_alone(make_model):
    model = make_model()
    before = model.SerializeToString()
    assert with_weights_as(model, "fp32").SerializeToString() == before
    with_weights_as(model, "int8")
    assert model.SerializeToString() == before


def test_int8_is_off_by_half_a_step_of_its_channel_at_most(make_model):
    model = make_model(classes=40)
    stored, own = weights_of(with_weights_as(model, "int8")), weights_of(model)["stem"]
    found = stored["stem.int8"] * stored["stem.step"]
    assert stored["stem.step"].shape == (48, 1, 1, 1)
    assert (np.abs(found - own) <= stored["stem.step"] * 0.5001).all()
    assert (np.abs(stored["stem.int8"]).max((1, 2, 3)) == 127).all()


@pytest.mark.parametrize(
    ("operator", "attributes", "shape", "channel"),
    [("MatMul", {}, (64, 32), 1), ("Gemm", {"transB": 1}, (32, 64), 0), ("Gemm", {}, (64, 32), 1)],
)
def test_a_step_belongs_to_an_output_whichever_way_a_matrix_lies(operator, attributes, shape, channel):
    values = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    values[:, 3] *= 50
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], **attributes)],
        "matrix",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(values, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert weights_of(with_weights_as(model, "int8"))["w.step"].shape == ((1, 32) if channel else (32, 1))
    x = np.random.default_rng(1).normal(0, 1, (3, 64)).astype(np.float32)
    expected = run(with_values(model, {"w": rounded(values, "int8", channel)}), "x", x)[0]
    np.testing.assert_allclose(run(with_weights_as(model, "int8"), "x", x)[0], expected, rtol=1e-5, atol=1e-4)


def test_a_channel_of_zeros_stays_zero(make_model):
    model = make_model()
    values = weights_of(model)["stem"].copy()
    values[5] = 0
    stored = weights_of(with_weights_as(with_values(model, {"stem": values}), "int8"))
    assert not stored["stem.int8"][5].any()
    assert np.isfinite(stored["stem.step"]).all()


def test_what_cannot_be_is_refused(make_model):
    model = make_model()
    with pytest.raises(ResnexusError, match="unknown type of weights 'int4': did you mean 'int8'"):
        with_weights_as(model, "int4")
    values = weights_of(model)["stem"].copy()
    values[0, 0, 0, 0] = 1e5
    with pytest.raises(ResnexusError, match=r"stem has a weight of 100000, and float16 ends at 65504"):
        with_weights_as(with_values(model, {"stem": values}), "fp16")
