"""A network that knows digits, made in a second: drawn features, and a last layer that is fitted to them."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from resnexus import Architecture, open_dataset
from resnexus.acceleration.backends.int8 import gate_operations
from resnexus.artefacts.formats.onnx import OnnxFormat
from resnexus.quantisation.forms.onnx import OnnxForm, operations
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint


@pytest.fixture(scope="session")
def digits():
    pytest.importorskip("sklearn", reason="the digits need scikit-learn: pip install 'resnexus[demo]'")
    return open_dataset("digits")


@pytest.fixture(scope="session")
def network(random_network, digits):
    """Gated and grouped, five convolutions; not to be changed."""
    row = Architecture(
        name="digits", block="bottleneck", depths=(1,), width=32, groups=2, out_width=128, se_reduction=8,
        stem="small", stem_width=32,
    )  # fmt: skip
    found = random_network(row, dtype=torch.float32, num_classes=10, in_chans=1)
    images, labels = digits.train.images(), digits.train.labels
    with torch.inference_mode():
        features = found.forward_head(found.forward_features(images), pre_logits=True).double()
        features = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
        targets = torch.nn.functional.one_hot(labels, 10).double()
        ridge = features.T @ features + 1e-3 * torch.eye(features.shape[1], dtype=torch.float64)
        solved = torch.linalg.solve(ridge, features.T @ targets)
        found.head.weight.copy_(solved[:-1].T)
        found.head.bias.copy_(solved[-1])
    found.record = CheckpointRecord(architecture=row, classes=digits.classes, preprocess=digits.preprocess)
    return found


@pytest.fixture(scope="session")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    write_checkpoint(network.state_dict(), path, network.record)
    return path


class Pretended(OnnxForm):
    """Says that it quantises, and spoils the last layer unless that is left alone: NNCF takes seconds for a network.

    Args:
        spoils: or does nothing at all.
    """

    packages = ()

    def __init__(self, spoils: bool = True) -> None:
        self.spoils = spoils
        self.left: list[tuple[str, ...]] = []

    def quantised(self, model, images, left_alone):
        import onnx

        spoilt = copy.deepcopy(model)
        (head,) = (node for node in spoilt.graph.node if node.op_type == "Gemm" and "head" in node.input[1])
        self.left.append(tuple(left_alone))
        if self.spoils and head.name not in left_alone:
            (bias,) = (tensor for tensor in spoilt.graph.initializer if tensor.name == head.input[2])
            values = onnx.numpy_helper.to_array(bias).copy()
            values[3] += 0.6  # many digits become a 3
            bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        self.now = frozenset(self.weights(model)) - {*left_alone, *gate_operations(operations(model))}
        return spoilt

    def in_int8(self, model):
        return self.now


@pytest.fixture(scope="session")
def exported():
    """What the exporter of ONNX made of the network, which takes seconds, once it was asked."""
    return {}


@pytest.fixture
def pretended(monkeypatch, exported):
    """Let `resnexus quantize --format onnx` do without NNCF; return what does."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    form = Pretended()
    real = OnnxFormat.build

    def build(self, deployed, record):
        if not exported:
            exported["model"], described = real(self, deployed, record)
            exported["opset"] = described.opset
        return copy.deepcopy(exported["model"]), replace(record, opset=exported["opset"])

    monkeypatch.setattr(OnnxFormat, "build", build)
    monkeypatch.setattr("resnexus.quantisation.quantize.find_form", lambda name: form)
    return form
