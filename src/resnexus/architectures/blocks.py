"""The parts a network is built from, each once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnexus.architectures.spec import Architecture


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose running variance follows the *biased* batch variance, as the original's does.

    PyTorch normalises with the biased variance but records the unbiased one, n / (n - 1) times as large.
    Evaluation is exactly `nn.BatchNorm2d`: eps 1e-5, momentum 0.1.

    Attributes:
        records_statistics: whether a training pass updates the running statistics.
    """

    records_statistics = True

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (N, C, H, W)."""
        if not (self.training and self.track_running_stats):
            return super().forward(x)
        count = x.numel() // x.shape[1]
        biased = (count - 1) / count if count > 1 else 1.0  # PyTorch itself refuses a single value
        # Autograd keeps the tensors that batch_norm updates, so those must not be touched afterwards.
        mean, variance = self.running_mean.clone(), self.running_var / biased
        out = F.batch_norm(x, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)
        if self.records_statistics:
            with torch.no_grad():
                self.running_mean.copy_(mean)
                self.running_var.copy_(variance * biased)
                self.num_batches_tracked.add_(1)
        return out


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, and ReLU unless `relu=False`.

    The padding keeps the image size at stride 1.
    """

    def __init__(
        self, in_width: int, out_width: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, out_width, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = BatchNorm(out_width)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class Stem(nn.Sequential):
    """The layers before stage 0: one ConvNorm or three, then a 3x3 stride-2 max pool (not in a small stem)."""

    def __init__(self, row: Architecture, in_chans: int) -> None:
        width = row.stem_width
        if row.stem == "deep":
            layers: list[nn.Module] = [
                ConvNorm(in_chans, width // 2, 3, stride=2),
                ConvNorm(width // 2, width // 2, 3),
                ConvNorm(width // 2, width, 3),
            ]
        elif row.stem == "conv7":
            layers = [ConvNorm(in_chans, width, 7, stride=2)]
        else:
            layers = [ConvNorm(in_chans, width, 3)]
        if row.stem != "small":
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        super().__init__(*layers)


class SqueezeExcite(nn.Module):
    """Channel gate: x * sigmoid(W2 relu(W1 mean(x) + b1) + b2), the mean over the image.

    Hu et al. 2017, arXiv:1709.01507, with the squeezed width C // reduction and no rounding.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, width // reduction)
        self.excite = nn.Linear(width // reduction, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class ProjectionShortcut(nn.Module):
    """1x1 convolution to the block's output shape, behind a 2x2 average pool where `pool` takes over the stride."""

    def __init__(self, in_width: int, out_width: int, *, stride: int, pool: bool) -> None:
        super().__init__()
        pool = pool and stride > 1
        self.pool: nn.Module = nn.Identity()
        if pool:
            # An odd last row or column is averaged over the pixels it has.
            self.pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
        self.proj = ConvNorm(in_width, out_width, 1, stride=1 if pool else stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return self.proj(self.pool(x))


class BasicBranch(nn.Module):
    """3x3 with the stride, 3x3. He et al. 2015, arXiv:1512.03385."""

    def __init__(self, in_width: int, out_width: int, *, stride: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(in_width, out_width, 3, stride=stride)
        self.conv1 = ConvNorm(out_width, out_width, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return self.conv1(self.conv0(x))


class BottleneckBranch(nn.Module):
    """1x1, grouped 3x3 with the stride, 1x1. With groups > 1: Xie et al. 2016, arXiv:1611.05431."""

    def __init__(self, in_width: int, inner_width: int, out_width: int, *, stride: int, groups: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(in_width, inner_width, 1)
        self.conv1 = ConvNorm(inner_width, inner_width, 3, stride=stride, groups=groups)
        self.conv2 = ConvNorm(inner_width, out_width, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return self.conv2(self.conv1(self.conv0(x)))


class Res2Branch(nn.Module):
    """1x1, `scale` splits x_0 .. x_n of which all but the last pass a 3x3, 1x1.

    Chained: y_0 = f_0(x_0), y_i = f_i(x_i + y_{i-1}), and x_n passes untouched.
    Not chained: y_i = f_i(x_i), and x_n is average-pooled 3x3 with the stride.
    Gao et al. 2019, arXiv:1904.01169, equation 1, numbered so that the untouched split is the last.
    """

    def __init__(
        self,
        in_width: int,
        inner_width: int,
        out_width: int,
        *,
        stride: int,
        groups: int,
        scale: int,
        chained: bool,
        count_padding: bool,
    ) -> None:
        super().__init__()
        self.scale, self.chained = scale, chained
        width = inner_width // scale
        self.conv0 = ConvNorm(in_width, inner_width, 1)
        self.splits = nn.ModuleList(ConvNorm(width, width, 3, stride=stride, groups=groups) for _ in range(scale - 1))
        self.pool: nn.Module = nn.Identity()
        if not chained:
            self.pool = nn.AvgPool2d(3, stride, 1, count_include_pad=count_padding)
        self.conv2 = ConvNorm(inner_width, out_width, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        *parts, last = self.conv0(x).chunk(self.scale, dim=1)
        outputs: list[Tensor] = []
        for conv, part in zip(self.splits, parts, strict=True):
            outputs.append(conv(part + outputs[-1] if self.chained and outputs else part))
        outputs.append(self.pool(last))
        return self.conv2(torch.cat(outputs, dim=1))


class ResidualBlock(nn.Module):
    """relu(gate(branch(x)) + shortcut(x)); the first block of a stage projects its shortcut."""

    def __init__(self, row: Architecture, stage: int, index: int) -> None:
        super().__init__()
        first = index == 0
        stride = row.stride(stage, index)
        out_width = row.outer_width(stage)
        in_width = row.in_width(stage) if first else out_width
        self.branch = _branch(row, stage, in_width, stride=stride, first=first)
        self.gate = nn.Identity() if row.se_reduction is None else SqueezeExcite(out_width, row.se_reduction)
        self.shortcut: nn.Module = nn.Identity()
        if first:
            self.shortcut = ProjectionShortcut(in_width, out_width, stride=stride, pool=row.shortcut == "pool")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return F.relu(self.gate(self.branch(x)) + self.shortcut(x), inplace=True)


def _branch(row: Architecture, stage: int, in_width: int, *, stride: int, first: bool) -> nn.Module:
    inner, out = row.inner_width(stage), row.outer_width(stage)
    if row.block == "basic":
        return BasicBranch(in_width, out, stride=stride)
    if row.block == "bottleneck":
        return BottleneckBranch(in_width, inner, out, stride=stride, groups=row.groups)
    authors = row.cascade == "authors"
    return Res2Branch(
        in_width,
        inner,
        out,
        stride=stride,
        groups=row.groups,
        scale=row.scale,
        chained=not first if authors else stride == 1,
        count_padding=authors,
    )
