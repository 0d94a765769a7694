"""Batch normalisation over the images of all processes, on any device."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from resnexus.architectures.blocks import BatchNorm

Module = TypeVar("Module", bound=nn.Module)


class SynchronisedNorm(BatchNorm):
    """Normalises by mean and biased variance over the images of all processes.

    The running variance takes the biased one too, as the published networks' does. `nn.SyncBatchNorm` takes the
    unbiased one and refuses tensors of the CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape; N may differ between processes."""
        if not self.training:
            return super().forward(x)
        wide = x.float() if x.dtype.itemsize < 4 else x
        count = torch.full((1,), x.numel() / x.shape[1], dtype=wide.dtype, device=x.device)
        sums = _sum_of_all(torch.cat([wide.sum((0, 2, 3)), count]))
        mean, total = sums[:-1] / sums[-1], sums[-1]
        # Deviations from the common mean, in a second sum: a difference of squares would cancel.
        centred = wide - mean[:, None, None]
        variance = _sum_of_all(centred.square().sum((0, 2, 3))) / total
        if self.records_statistics:
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
                self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronise_batch_norm(network: Module) -> Module:
    """Replace every batch normalisation of a network, in place, by one over all processes; weights stay."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SynchronisedNorm):
                setattr(parent, name, _synchronised(child))
    return network


def _synchronised(norm: nn.BatchNorm2d) -> SynchronisedNorm:
    with torch.device("meta"):
        replacement = SynchronisedNorm(norm.num_features, norm.eps, norm.momentum or 0.1)
    replacement.load_state_dict(norm.state_dict(), assign=True)
    for name, parameter in norm.named_parameters():
        setattr(replacement, name, parameter)
    return replacement.train(norm.training)


def _sum_of_all(values: Tensor) -> Tensor:
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values
    total: Tensor = _Sum.apply(values)
    return total


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of the gradients."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
