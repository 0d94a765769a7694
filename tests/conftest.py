"""Fixtures that several test files share."""

import os
import tempfile

# One test process per core: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import resnexus
from resnexus.acceleration.native import compiler
from resnexus.architectures.network import Network


@pytest.fixture(scope="session", autouse=True)
def _kernels_compiled_once():
    """All test processes share what they compile, also from run to run: it takes minutes of a processor."""
    folder = Path(tempfile.gettempdir(), f"resnexus-tests-{os.getuid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "home", lambda: folder)
        yield


@pytest.fixture(autouse=True)
def _reproducible():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Network]:
    """A network whose normalisations and biases are no identities, so that a forgotten one shows."""

    def build(model, *, dtype=torch.float64, num_classes=7, **options) -> Network:
        generator = torch.Generator().manual_seed(5)
        torch.manual_seed(5)
        network = resnexus.create_model(model, num_classes=num_classes, **options)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                nn.init.normal_(module.bias, 0, 0.1, generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.bias, 0, 0.1, generator=generator)
        return network.to(dtype).eval()

    return build


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
