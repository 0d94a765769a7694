"""Squeeze-and-excitation gates computed before the last convolution of their branch."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnexus.architectures.blocks import BottleneckBranch, Res2Branch, ResidualBlock, SqueezeExcite
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.cascade import CascadeBranch, SummedProjection
from resnexus.rewrites.folding import AnyNetwork, BiasedConv, biased, fold_batch_norm, frozen, replace_modules


@final
class PregatedBlock(nn.Module):
    """relu(gate * projection(z) + shortcut(x)) with z = inner(x) and a gate that is computed from the mean of z.

    The gate does not wait for the projection, and gate, residual and ReLU are one expression over its output.
    """

    def __init__(
        self,
        inner: nn.Module,
        projection: BiasedConv | SummedProjection,
        squeeze: nn.Linear,
        excite: nn.Linear,
        shortcut: nn.Module,
    ) -> None:
        super().__init__()
        self.inner, self.projection = inner, projection
        self.squeeze, self.excite = squeeze, excite
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        z = self.inner(x)
        means = [part.mean((2, 3)) for part in z] if isinstance(z, list) else [z.mean((2, 3))]
        mean = torch.cat(means, dim=1) if len(means) > 1 else means[0]
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))
        return F.relu(self.projection(z) * gate[:, :, None, None] + self.shortcut(x), inplace=True)


def has_gated_projection(row: Architecture) -> bool:
    """Whether the row gates branches that end in a 1x1 convolution."""
    return row.se_reduction is not None and row.block != "basic"


def gate_before_projection(network: AnyNetwork) -> AnyNetwork:
    """Return a folded copy whose gates are computed from the input of the branch's last 1x1 convolution.

    That convolution is linear, so mean(W z + b) = W mean(z) + b, and the squeeze of it is one smaller layer:
    squeeze(mean(W z + b)) = (S W) mean(z) + (S b + s). The mean runs over z, half or a quarter as wide as the
    branch's output. (In a basic block the last convolution is a 3x3 as wide as its output: the sums over its
    border would cost what the rewrite saves.)

    Raises:
        ResnexusError: the network has no gates, or only behind 3x3 convolutions.
    """
    row = network.architecture
    if not has_gated_projection(row):
        raise ResnexusError(
            f"gate_before_projection has nothing to rewrite in {row.name}: it needs gates behind a 1x1 convolution, "
            f"and this row has block={row.block!r}, se_reduction={row.se_reduction}"
        )
    rewritten = fold_batch_norm(network)
    replace_modules(rewritten, ResidualBlock, _pregated)
    rewritten.eval()
    return rewritten


def _pregated(block: ResidualBlock) -> PregatedBlock:
    gate = block.gate
    if not isinstance(gate, SqueezeExcite):
        raise TypeError(f"expected a block with a gate, found {type(gate).__name__}")
    inner, projection = _halves(block.branch)
    weight, bias = _linear(projection)
    squeeze_weight = gate.squeeze.weight.double()
    squeeze = nn.Linear(weight.shape[1], gate.squeeze.out_features, device="meta")
    squeeze.weight = frozen(squeeze_weight @ weight, gate.squeeze.weight)
    squeeze.bias = frozen(squeeze_weight @ bias + gate.squeeze.bias.double(), gate.squeeze.weight)
    return PregatedBlock(inner, projection, squeeze, gate.excite, block.shortcut)


def _halves(branch: nn.Module) -> tuple[nn.Module, BiasedConv | SummedProjection]:
    """Split a folded branch before its last convolution."""
    if isinstance(branch, Res2Branch):
        branch = CascadeBranch.of(branch)
    if isinstance(branch, CascadeBranch):
        return branch.cascade, branch.projection
    if isinstance(branch, BottleneckBranch):
        return nn.Sequential(branch.conv0, branch.conv1), biased(branch.conv2)
    raise TypeError(f"expected a folded branch that ends in a 1x1 convolution, found {type(branch).__name__}")


def _linear(projection: BiasedConv | SummedProjection) -> tuple[Tensor, Tensor]:
    """Return the float64 matrix and bias of a 1x1 convolution over all its input channels."""
    layers = [projection] if isinstance(projection, BiasedConv) else projection.convs
    convs = [biased(layer).conv for layer in layers]
    weight = torch.cat([conv.weight.double()[:, :, 0, 0] for conv in convs], dim=1)
    biases = [conv.bias.double() for conv in convs if conv.bias is not None]
    return weight, torch.stack(biases).sum(0)
