"""Two processes that share a batch normalise as one that has it all."""

import multiprocessing
from copy import deepcopy

import torch
import torch.distributed as dist
from torch import nn

from resnexus.architectures.blocks import BatchNorm
from resnexus.training.synchronised import SynchronisedNorm, synchronise_batch_norm


def _share(rank, path):
    """Be one of two processes: normalise a share of seven images, and compare with all of them."""
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    torch.manual_seed(0)
    alone = nn.Sequential(
        nn.Conv2d(3, 4, 3, groups=1), BatchNorm(4), nn.Conv2d(4, 8, 1, groups=2), BatchNorm(8)
    ).double()
    shared = synchronise_batch_norm(deepcopy(alone))
    images, weights = torch.randn(7, 3, 6, 5, dtype=torch.float64), torch.arange(7)[:, None, None, None]
    own = slice(3) if rank == 0 else slice(3, 7)
    whole, part = alone(images), shared(images[own])
    (whole * weights).sum().backward()
    (part * weights[own]).sum().backward()
    assert torch.allclose(part, whole[own], atol=1e-12)
    for one, other in zip(alone.parameters(), shared.parameters(), strict=True):
        gradient = other.grad.clone()
        dist.all_reduce(gradient)
        assert torch.allclose(one.grad, gradient, atol=1e-10), (one.grad - gradient).abs().max()
    for name, value in alone.state_dict().items():
        assert torch.allclose(value.double(), shared.state_dict()[name].double(), atol=1e-12), name
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    context = multiprocessing.get_context("forkserver")  # gradients cannot be computed after a fork
    context.set_forkserver_preload(["resnexus.training.synchronised"])
    running = [context.Process(target=_share, args=(rank, tmp_path / "meet")) for rank in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]


def test_alone_it_is_the_batch_normalisation_that_it_replaces():
    torch.manual_seed(0)
    network = nn.Sequential(BatchNorm(3), nn.ReLU(), BatchNorm(3)).double()
    other = synchronise_batch_norm(nn.Sequential(BatchNorm(3), nn.ReLU(), BatchNorm(3)).double())
    assert [type(layer) for layer in other] == [SynchronisedNorm, nn.ReLU, SynchronisedNorm]
    for _ in range(3):
        images = torch.randn(4, 3, 5, 5, dtype=torch.float64)
        assert torch.allclose(network(images), other(images), atol=1e-12)
    for name, value in network.state_dict().items():
        assert torch.allclose(value.double(), other.state_dict()[name].double(), atol=1e-12), name
    assert torch.allclose(network.eval()(images), other.eval()(images), atol=1e-12)
