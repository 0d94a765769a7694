import numpy as np
import pytest
import torch
from torch.nn import functional as F

from resnexus.acceleration.native import compiler, product

pytestmark = pytest.mark.skipif(compiler.find_compiler() is None, reason="there is no C++ compiler")


@pytest.mark.slow
def test_the_chain_multiplies_what_it_says(tmp_path):
    random = np.random.default_rng(0)
    inputs = [16, *product.PRODUCTS * [product.CHANNELS]]
    weights = [
        torch.from_numpy(random.standard_normal((product.CHANNELS, width, 1, 1)) / width**0.5) for width in inputs
    ]
    images = torch.randn(2, *product.SHAPE)
    expected = images.double()
    for weight in weights:
        expected = F.conv2d(expected, weight)
    found = product.chain(tmp_path, threads=2)(images)
    torch.testing.assert_close(found, expected.mean((2, 3)).float(), rtol=1e-4, atol=1e-5)
    pixels = product.SHAPE[1] * product.SHAPE[2]
    assert product.macs(threads=2) == 2 * pixels * sum(weight.numel() for weight in weights)
