from __future__ import annotations

import pytest
import torch

from resnexus.acceleration.cuda.normaliser import Normaliser
from resnexus.data.preprocess import Preprocess

GREY = Preprocess(mean=(0.5,), std=(0.25,))


@pytest.mark.parametrize("preprocess", [Preprocess(), GREY])
def test_bytes_become_what_preprocessing_makes_of_them(preprocess):
    pixels = torch.randint(0, 256, (2, 5, 7, preprocess.in_chans), dtype=torch.uint8)
    expected = preprocess.normalise(pixels.numpy())
    kept = pixels.clone()
    found = Normaliser(preprocess, torch.empty(0), ours=False)(pixels)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, kept)
    half = Normaliser(preprocess, torch.empty(0, dtype=torch.float16), ours=False)(pixels)
    assert torch.equal(half, expected.half())


def test_our_kernel_is_asked_for_three_channels_alone(monkeypatch):
    asked = []
    kernel = type("Kernel", (), {"normalise": staticmethod(lambda pixels, mean, std, out: asked.append((mean, std)))})
    monkeypatch.setattr("resnexus.acceleration.cuda.normaliser.kernel", lambda name: kernel)
    pixels = torch.zeros(2, 5, 7, 3, dtype=torch.uint8)
    out = Normaliser(Preprocess(), torch.empty(0, dtype=torch.float16), ours=True)(pixels)
    assert (out.shape, out.dtype) == ((2, 3, 5, 7), torch.float16)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert asked == [(Preprocess().mean, Preprocess().std)]
    Normaliser(GREY, torch.empty(0), ours=True)(pixels[:, :, :, :1])
    assert len(asked) == 1
