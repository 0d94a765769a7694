import pytest
import torch

from resnexus.training.hardware import Hardware, hardware


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
