from __future__ import annotations

import numpy as np
import pytest
import torch

from resnexus.acceleration.accelerate import accelerate
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.inputs import as_pixels
from resnexus.acceleration.pixels import PixelRunner, of_pixels
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError

SHAPE = (3, 4, 6)


def _pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_bytes_may_lie_in_either_order_as_arrays_or_tensors():
    pixels = _pixels(2, 4, 6, 3)
    first = pixels.permute(0, 3, 1, 2)
    for given in (
        pixels,
        first,
        first.contiguous(),
        pixels.numpy(),
        first.contiguous().numpy(),
        pixels.numpy()[:, ::1],
    ):
        found = as_pixels(given, SHAPE)
        assert torch.equal(found, pixels)
        assert found.is_contiguous()
    mirrored = as_pixels(pixels.numpy()[:, :, ::-1], SHAPE)
    assert torch.equal(mirrored, pixels.flip(2))
    cube = _pixels(1, 3, 3, 3)
    assert torch.equal(as_pixels(cube, (3, 3, 3)), cube)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(1, 3, 4, 6), r"images of torch.float32: this engine was opened with pixels=, and takes uint8"),
        (np.zeros((1, 4, 6, 3), np.int8), r"images of int8: this engine was opened with pixels=, and takes uint8"),
        (
            _pixels(1, 3, 6, 4),
            r"of shape \(1, 3, 6, 4\): this engine was made for \(N, 4, 6, 3\) or \(N, 3, 4, 6\) uint8",
        ),
        (_pixels(4, 6, 3), r"of shape \(4, 6, 3\): this engine was made for"),
        ([[0]], "images are list: expected a tensor or array"),
        (_pixels(1, 4, 6, 3).to_sparse(), "in layout torch.sparse_coo: expected dense ones"),
        (_pixels(1, 4, 6, 3).to("meta"), "images on meta: this engine runs on the CPU"),
    ],
)
def test_what_is_no_bytes_is_refused(given, message):
    with pytest.raises(ResnexusError, match=message):
        as_pixels(given, SHAPE)


def test_what_runs_prepared_images_gets_them_normalised():
    seen = []

    def runner(images):
        seen.append(images)
        return images.mean((2, 3))

    preprocess = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    pixels = _pixels(2, 4, 6, 3)
    found = of_pixels(runner, Job(batch_size=2, image_size=(4, 6)), preprocess)
    assert isinstance(found, PixelRunner)
    expected = preprocess.normalise(pixels.numpy())
    assert torch.equal(found(pixels), expected.mean((2, 3)))
    assert torch.equal(seen[0], expected)
    assert seen[0].is_contiguous()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ("uint8", "pixels='uint8': expected a Preprocess, whose mean and deviation"),
        (Preprocess(mean=(0.5,), std=(0.5,)), "pixels normalises 1 channels, and the network takes 3"),
    ],
)
def test_how_bytes_are_normalised_has_to_fit(pixels, message, smallest):
    with pytest.raises(ResnexusError, match=message):
        accelerate(smallest, image_size=16, pixels=pixels)
