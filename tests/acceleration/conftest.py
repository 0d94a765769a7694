from __future__ import annotations

import pytest
import torch

import resnexus
from resnexus.architectures.network import Network


@pytest.fixture(scope="session")
def tiny(random_network) -> Network:
    """A gated network with groups, for 16x16 images, small enough for every compiler; not to be changed."""
    row = resnexus.Architecture(
        name="tiny",
        block="bottleneck",
        depths=(1, 1),
        width=4,
        groups=4,
        out_width=32,
        se_reduction=4,
        stem="small",
        stem_width=16,
        shortcut="pool",
    )
    return random_network(row, dtype=torch.float32)


@pytest.fixture(scope="session")
def smallest(random_network) -> Network:
    """A network of five convolutions for 16x16 images, for what builds many; not to be changed."""
    row = resnexus.Architecture(
        name="smallest", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16
    )
    return random_network(row, dtype=torch.float32)


@pytest.fixture(scope="session")
def tiny_images() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))
