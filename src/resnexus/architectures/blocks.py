"""The parts a network is built from, each once."""

from __future__ import annotations

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F

from resnexus.architectures.dilation import Grid, grid
from resnexus.architectures.pools import average_pool
from resnexus.architectures.spec import Architecture


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose running variance follows the *biased* batch variance, as the original's does.

    PyTorch normalises with the biased variance but records the unbiased one, n / (n - 1) times as large.
    Evaluation is exactly `nn.BatchNorm2d`: eps 1e-5, momentum 0.1.

    Attributes:
        records_statistics: whether a training pass updates the running statistics.
        frozen: whether the running statistics are used, and left alone, in training mode too.
    """

    records_statistics = True
    frozen = False

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (N, C, H, W)."""
        by_batch = self.training and not self.frozen
        recorded = by_batch and self.records_statistics and self.track_running_stats
        batches = self.num_batches_tracked if recorded else None
        mean, variance = self.running_mean, self.running_var
        by_batch = by_batch or mean is None
        return normalised(x, mean, variance, self.weight, self.bias, batches, by_batch, self.momentum, self.eps)


@torch.fx.wrap  # one node: a tracer cannot follow the update of the statistics
def normalised(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    batches: Tensor | None,
    by_batch: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalise `x` (N, C, H, W) with the running statistics, or with its own mean and biased variance.

    With `batches`, the count of batches, the running statistics follow its own, in place.
    """
    if running_mean is None or running_var is None or not by_batch:
        return F.batch_norm(x, running_mean, running_var, weight, bias, by_batch, 0.0, eps)
    count = x.numel() // x.shape[1]
    biased = (count - 1) / count if count > 1 else 1.0  # PyTorch itself refuses a single value
    # Autograd keeps the tensors that batch_norm updates, so those must not be touched afterwards.
    mean, variance = running_mean.clone(), running_var / biased
    out = F.batch_norm(x, mean, variance, weight, bias, True, momentum, eps)
    if batches is not None:
        with torch.no_grad():
            running_mean.copy_(mean)
            running_var.copy_(variance * biased)
            batches.add_(1)
    return out


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, and ReLU unless `relu=False`.

    The padding keeps the image size at stride 1.
    """

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        self.conv = nn.Conv2d(in_width, out_width, kernel, stride, padding, dilation, groups, bias=False)
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

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what leaves the last convolution, feature map 0, and what enters stage 0.

        Args:
            x: (N, in_chans, H, W) images.

        Returns:
            Two (N, stem_width, h, w), at strides 2 and 4; with a small stem, the same one twice, at stride 1.
        """
        for layer in self:
            if isinstance(layer, nn.MaxPool2d):
                return x, layer(x)
            x = layer(x)
        return x, x


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

    def __init__(self, in_width: int, out_width: int, *, grid: Grid, pool: bool) -> None:
        super().__init__()
        pool = pool and grid.stride > 1
        self.pool = average_pool(2, grid) if pool else nn.Identity()
        self.proj = ConvNorm(in_width, out_width, 1, stride=1 if pool else grid.step, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return self.proj(self.pool(x))


class BasicBranch(nn.Module):
    """3x3 with the stride, 3x3. He et al. 2015, arXiv:1512.03385."""

    def __init__(self, in_width: int, out_width: int, *, grid: Grid) -> None:
        super().__init__()
        self.conv0 = ConvNorm(in_width, out_width, 3, stride=grid.step, dilation=grid.before)
        self.conv1 = ConvNorm(out_width, out_width, 3, dilation=grid.after, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return self.conv1(self.conv0(x))


class BottleneckBranch(nn.Module):
    """1x1, grouped 3x3 with the stride, 1x1. With groups > 1: Xie et al. 2016, arXiv:1611.05431."""

    def __init__(self, in_width: int, inner_width: int, out_width: int, *, grid: Grid, groups: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(in_width, inner_width, 1)
        self.conv1 = ConvNorm(inner_width, inner_width, 3, stride=grid.step, dilation=grid.before, groups=groups)
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
        grid: Grid,
        groups: int,
        scale: int,
        chained: bool,
        count_padding: bool,
    ) -> None:
        super().__init__()
        self.scale, self.chained = scale, chained
        width = inner_width // scale
        self.conv0 = ConvNorm(in_width, inner_width, 1)
        self.splits = nn.ModuleList(
            ConvNorm(width, width, 3, stride=grid.step, dilation=grid.before, groups=groups) for _ in range(scale - 1)
        )
        self.pool = nn.Identity() if chained else average_pool(3, grid, count_padding=count_padding)
        self.conv2 = ConvNorm(inner_width, out_width, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        parts = self.conv0(x).chunk(self.scale, dim=1)  # indexed, not unpacked: a tracer does not know how many
        outputs: list[Tensor] = []
        for index, conv in enumerate(self.splits):
            outputs.append(conv(parts[index] + outputs[-1] if self.chained and outputs else parts[index]))
        outputs.append(self.pool(parts[self.scale - 1]))
        return self.conv2(torch.cat(outputs, dim=1))


class ResidualBlock(nn.Module):
    """relu(gate(branch(x)) + shortcut(x)); the first block of a stage projects its shortcut.

    Attributes:
        drop_path: what the branch passes last; a trainer may put stochastic depth here (Huang et al. 2016,
            arXiv:1603.09382). It must do nothing in evaluation mode, where rewrites and engines leave it out.
    """

    def __init__(self, row: Architecture, stage: int, index: int, output_stride: int | None = None) -> None:
        super().__init__()
        first = index == 0
        place = grid(row, stage, index, row.reductions[-1] if output_stride is None else output_stride)
        out_width = row.outer_width(stage)
        in_width = row.in_width(stage) if first else out_width
        self.branch = _branch(row, stage, in_width, place, first=first)
        self.gate = nn.Identity() if row.se_reduction is None else SqueezeExcite(out_width, row.se_reduction)
        self.drop_path: nn.Module = nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if first:
            self.shortcut = ProjectionShortcut(in_width, out_width, grid=place, pool=row.shortcut == "pool")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return F.relu(self.drop_path(self.gate(self.branch(x))) + self.shortcut(x), inplace=True)


def _branch(row: Architecture, stage: int, in_width: int, place: Grid, *, first: bool) -> nn.Module:
    inner, out = row.inner_width(stage), row.outer_width(stage)
    if row.block == "basic":
        return BasicBranch(in_width, out, grid=place)
    if row.block == "bottleneck":
        return BottleneckBranch(in_width, inner, out, grid=place, groups=row.groups)
    authors = row.cascade == "authors"
    return Res2Branch(
        in_width,
        inner,
        out,
        grid=place,
        groups=row.groups,
        scale=row.scale,
        chained=not first if authors else place.stride == 1,
        count_padding=authors,
    )
