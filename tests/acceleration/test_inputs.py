from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch

from resnexus.acceleration.inputs import as_images
from resnexus.errors import ResnexusError

SHAPE = (3, 16, 16)


def _as_they_are(array):
    return array


@pytest.mark.parametrize(
    "convert",
    [
        _as_they_are,
        torch.from_numpy,
        lambda array: torch._neg_view(-torch.from_numpy(array)),
        lambda array: torch.complex(torch.zeros(array.shape), -torch.from_numpy(array)).conj().imag,
        lambda array: torch.from_numpy(array).to(memory_format=torch.channels_last),
        lambda array: torch.from_numpy(array).double().requires_grad_(),
        lambda array: array.astype(">f4"),
        lambda array: array.astype(np.longdouble),
        np.asfortranarray,
        lambda array: array[:, ::-1].copy()[:, ::-1],
        lambda array: np.lib.stride_tricks.as_strided(array, writeable=False),
    ],
)
def test_what_is_given_is_what_the_memory_holds(convert, tiny_images):
    array = tiny_images.numpy()
    found = as_images(convert(array), SHAPE)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert not found.is_neg()
    assert not found.requires_grad
    # As a library reads it that knows nothing of views.
    memory = (ctypes.c_float * found.numel()).from_address(found.data_ptr())
    assert np.array_equal(np.ctypeslib.as_array(memory).reshape(array.shape), array)


def test_no_copy_where_none_is_needed(tiny_images):
    assert as_images(tiny_images, SHAPE).data_ptr() == tiny_images.data_ptr()
    assert as_images(tiny_images.numpy(), SHAPE).data_ptr() == tiny_images.data_ptr()


def test_messages_say_what_they_are_about():
    with pytest.raises(ResnexusError, match=r"^calibration images of shape \(3, 16, 16\): expected \(N, 3, 16, 16\)$"):
        as_images(torch.zeros(SHAPE), SHAPE, "calibration images", "expected")
