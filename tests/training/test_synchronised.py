"""Two processes that share a batch normalise as one that has it all."""

import subprocess
import sys

import torch
from torch import nn

from resnexus.architectures.blocks import BatchNorm
from resnexus.training.synchronised import SynchronisedNorm, synchronise_batch_norm

PROGRAM = """
import sys, torch, torch.distributed as dist
from resnexus.architectures.blocks import BatchNorm
from resnexus.training.synchronised import synchronise_batch_norm
rank, path = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, groups=1), BatchNorm(4), torch.nn.Conv2d(4, 8, 1, groups=2),
                              BatchNorm(8)).double()
images = torch.randn(7, 3, 6, 5, dtype=torch.float64)
alone, shared = network, synchronise_batch_norm(__import__("copy").deepcopy(network))
whole = alone(images)
(whole * torch.arange(7)[:, None, None, None]).sum().backward()
own = images[:3] if rank == 0 else images[3:]
part = shared(own)
weights = torch.arange(7)[:3] if rank == 0 else torch.arange(7)[3:]
(part * weights[:, None, None, None]).sum().backward()
assert torch.allclose(part, whole[:3] if rank == 0 else whole[3:], atol=1e-12)
for one, other in zip(alone.parameters(), shared.parameters()):
    gradient = other.grad.clone()
    dist.all_reduce(gradient)
    assert torch.allclose(one.grad, gradient, atol=1e-10), (one.grad - gradient).abs().max()
for name, value in alone.state_dict().items():
    assert torch.allclose(value.double(), shared.state_dict()[name].double(), atol=1e-12), name
print("same")
"""


def test_two_processes_equal_one(tmp_path):
    command = [sys.executable, "-c", PROGRAM]
    running = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["same", "same"]


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
