"""The two halves of a Res2 branch without its copies: the cascade of 3x3 convolutions, and the last 1x1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from resnexus.architectures.blocks import Res2Branch
from resnexus.rewrites.folding import BiasedConv, biased


@final
class Cascade(nn.Module):
    """The first 1x1 of a Res2 branch and everything up to the last one.

    Args:
        entries: the first 1x1, as one convolution whose output is split or as one convolution per part.
        splits: the 3x3 of every part but the last.
        pool: what the last part passes.
        cells: per part, the channels of each group of its 3x3 (one number where it has no groups).
        chained: whether a part adds the output of the one before.
        concatenated: whether the outputs leave as one tensor.
    """

    def __init__(
        self,
        entries: Iterable[BiasedConv],
        splits: Iterable[BiasedConv],
        pool: nn.Module,
        *,
        cells: Sequence[tuple[int, ...]],
        chained: bool,
        concatenated: bool = True,
    ) -> None:
        super().__init__()
        self.entries, self.splits, self.pool = nn.ModuleList(entries), nn.ModuleList(splits), pool
        self.cells = tuple(cells)
        self.widths = [sum(part) for part in self.cells]
        self.chained, self.concatenated = chained, concatenated

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """(N, in_width, H, W) -> every part's (N, width, H / stride, W / stride), or all of them in one tensor."""
        if len(self.entries) == 1:
            *parts, last = self.entries[0](x).split(self.widths, dim=1)
        else:
            *parts, last = [entry(x) for entry in self.entries]
        outputs: list[Tensor] = []
        for conv, part in zip(self.splits, parts, strict=True):
            outputs.append(conv(part + outputs[-1] if self.chained and outputs else part))
        outputs.append(self.pool(last))
        return torch.cat(outputs, dim=1) if self.concatenated else outputs


@final
class SummedProjection(nn.Module):
    """The last 1x1 over parts that were never concatenated: the sum of one 1x1 per part, the first with the bias."""

    def __init__(self, convs: Iterable[BiasedConv]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, parts: list[Tensor]) -> Tensor:
        """Per part (N, width, H, W) -> (N, out_width, H, W)."""
        total = self.convs[0](parts[0])
        for conv, part in zip(self.convs[1:], parts[1:], strict=True):
            total = total + conv(part)
        return total


@final
class CascadeBranch(nn.Module):
    """A folded Res2 branch as a cascade and its projection."""

    def __init__(self, cascade: Cascade, projection: BiasedConv | SummedProjection) -> None:
        super().__init__()
        self.cascade, self.projection = cascade, projection

    @classmethod
    def of(cls, branch: Res2Branch) -> CascadeBranch:
        """Take the parts of a folded Res2 branch; nothing is copied."""
        entry, splits = biased(branch.conv0), [biased(split) for split in branch.splits]
        groups = splits[0].conv.groups
        width = entry.conv.out_channels // branch.scale
        cells = [(width // groups,) * groups] * branch.scale
        return cls(Cascade([entry], splits, branch.pool, cells=cells, chained=branch.chained), biased(branch.conv2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        return self.projection(self.cascade(x))
