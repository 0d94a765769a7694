from __future__ import annotations

import pytest
import torch

from resnexus.acceleration.cuda import device
from resnexus.acceleration.cuda.device import check_gpu, driver, exact_float32, exact_on
from resnexus.errors import ResnexusError


def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResnexusError, match="device 'cuda': PyTorch sees no GPU here; use device 'cpu'"):
        check_gpu()


def test_the_driver_names_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "_DRIVER", tmp_path / "version")
    assert driver() == ""
    (tmp_path / "version").write_text("NVRM version: NVIDIA 580.82.07\nGCC version: 12\n")
    assert driver() == "NVRM version: NVIDIA 580.82.07"


def test_a_key_changes_with_what_it_is_of(monkeypatch):
    found = {"gpu": "NVIDIA H200", "driver": "580"}
    monkeypatch.setattr(device, "identity", lambda: found)
    before = device.device_key()
    assert before == device.device_key()
    found["driver"] = "581"
    assert device.device_key() != before


def test_settings_of_the_process_are_restored():
    torch.set_float32_matmul_precision("high")
    before = (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)
    try:
        for benchmark in (True, False):
            with exact_float32(benchmark=benchmark):
                assert torch.get_float32_matmul_precision() == "highest"
                assert not torch.backends.cudnn.allow_tf32
                assert torch.backends.cudnn.benchmark is benchmark
        assert torch.get_float32_matmul_precision() == "high"
        assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32) == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_only_a_gpu_is_kept_from_tf32():
    torch.set_float32_matmul_precision("high")
    try:
        for name, found in (("cpu", "high"), ("cuda", "highest")):
            with exact_on(name):
                assert torch.get_float32_matmul_precision() == found
    finally:
        torch.set_float32_matmul_precision("highest")
