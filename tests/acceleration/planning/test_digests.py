from __future__ import annotations

import torch

from resnexus.acceleration.planning import digests
from resnexus.acceleration.planning.digests import computes_on, digest, images_digest
from resnexus.machine import processor
from resnexus.weights.state_digest import state_sha256


def test_digests_tell_names_types_shapes_and_values_apart(random_network):
    network = random_network("SE_ResNet18_vd", depths=(1,))
    before = state_sha256(network)
    assert state_sha256(network) == before
    assert state_sha256(network.float()) != before
    network.double().stem[0].norm.running_mean[3] += 1e-9
    assert state_sha256(network) != before
    wide, high = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    high.weight.data = wide.weight.data.reshape(2, 3)
    assert state_sha256(wide) != state_sha256(high)
    images = torch.zeros(2, 3, 4, 4)
    assert images_digest(images) != images_digest(images.reshape(2, 3, 2, 8))
    assert images_digest(images) == images_digest(images.clone())
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_a_gpu_is_told_by_its_name_and_its_libraries_and_not_by_the_processor(monkeypatch):
    assert computes_on("cpu") == {"processor": processor()}
    monkeypatch.setattr(digests, "check_gpu", lambda: None)
    monkeypatch.setattr(digests, "identity", lambda: {"gpu": "NVIDIA H200", "driver": "580", "cudnn": "91900"})
    assert computes_on("cuda") == {"gpu": "NVIDIA H200", "driver": "580", "cudnn": "91900"}
