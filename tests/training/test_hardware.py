import pytest
import torch

from resnexus import ResnexusError
from resnexus.training.hardware import Hardware, hardware, placed


@pytest.mark.parametrize(
    ("gpu", "bf16", "device", "precision"),
    [
        (False, True, "cpu", "fp32"),
        (True, True, "cuda", "bf16"),
        (True, False, "cuda", "fp32"),
    ],
)
def test_the_gpu_comes_first_in_bfloat16_where_it_has_it(monkeypatch, gpu, bf16, device, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    assert hardware() == Hardware(device=device, precision=precision)


@pytest.mark.parametrize(
    ("device", "devices", "expected"),
    [
        ("auto", 2, {"accelerator": "cuda", "devices": 2, "num_nodes": 1}),
        ("cpu", 3, {"accelerator": "cpu", "devices": 3, "num_nodes": 1}),
        ("gpu", 2, {"accelerator": "cuda", "devices": 2, "num_nodes": 1}),
        ("cuda", 1, {"accelerator": "cuda", "devices": 1, "num_nodes": 1}),
        ("cuda:1", 1, {"accelerator": "cuda", "devices": [1], "num_nodes": 1}),
    ],
)
def test_what_lightning_is_told(monkeypatch, device, devices, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert placed(device, devices) == expected


def test_auto_is_the_cpu_on_a_mac_as_everywhere_without_a_gpu_of_nvidia(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert placed("auto", 2) == {"accelerator": "cpu", "devices": 2, "num_nodes": 1}


@pytest.mark.parametrize(
    ("device", "devices", "message"),
    [
        ("tpu", 1, "unknown device 'tpu'"),
        ("cpu", 0, "devices=0: expected at least 1"),
        ("gpu", 3, "devices=3: expected at most 2, the GPUs that are here"),
        ("auto", 3, "devices=3: expected at most 2"),
        ("cuda:2", 1, "device 'cuda:2': the last GPU that PyTorch sees here is 'cuda:1'"),
        ("cuda:1", 2, "device 'cuda:1' is one GPU, and 2 processes are to train: use device 'cuda'"),
    ],
)
def test_where_no_training_can_run(monkeypatch, device, devices, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ResnexusError, match=message):
        placed(device, devices)
