"""Fixtures that several test files share."""

import gc
import os
import tempfile

# One test process per core: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import nn

import resnexus
from resnexus.acceleration.native import compiler
from resnexus.architectures.network import Network
from resnexus.cli import main
from resnexus.parity import golden

# On a busy machine an example may take any time.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_collection_finish():
    """What is imported by now stays, so that the collector need not walk through it again and again."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def _kernels_compiled_once():
    """All test processes share what they compile, also from run to run: it takes minutes of a processor."""
    folder = Path(tempfile.gettempdir(), f"resnexus-tests-{os.getuid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "home", lambda: folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def _golden_entries_drawn_once():
    """Networks share most of their golden entries with others, and drawing them takes longer than running them."""
    drawn = lru_cache(maxsize=1024)(golden._golden_entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "_golden_entry", lambda *arguments: drawn(*arguments).copy())
        yield


@pytest.fixture(autouse=True)
def _reproducible():
    # Of the processor alone: for devices that are not in use yet, torch.manual_seed notes its caller every time.
    torch.default_generator.manual_seed(0)


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch) -> Callable[..., Done]:
    """`resnexus` as a user types it, but in this process, which has PyTorch already."""

    def run(*arguments, merged=False) -> Done:
        out = io.StringIO()
        err = out if merged else io.StringIO()
        monkeypatch.setattr(sys, "argv", ["resnexus", *map(str, arguments)])
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("default")  # as for a user: a line on standard error
            try:
                main()
            except SystemExit as end:
                return Done(end.code or 0, out.getvalue(), "" if merged else err.getvalue())
        raise AssertionError("the command line always exits")

    return run


class Recorded:
    """A `Progress` that keeps what it is told: stages as (description, total, steps of each call), and sentences."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, list[int]]] = []
        self.said: list[str] = []

    @contextmanager
    def stage(self, description: str, total: int) -> Iterator[Callable[..., None]]:
        steps: list[int] = []
        self.stages.append((description, total, steps))
        yield lambda count=1, /: steps.append(count)

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


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
