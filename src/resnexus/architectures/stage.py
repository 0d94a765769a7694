"""The residual blocks between two feature maps, run as they are or with gradient checkpointing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from resnexus.architectures.blocks import BatchNorm, ResidualBlock
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError


class NotScriptable(nn.Module):
    """What torch.jit.script is told; it asks every module that it is given."""

    def __prepare_scriptable__(self) -> NoReturn:
        raise ResnexusError(
            f"torch.jit.script does not take a {type(self).__name__}, and PyTorch has retired it: use torch.export, "
            "torch.compile, torch.jit.trace or torch.fx.symbolic_trace"
        )


class Stage(NotScriptable, nn.Sequential):
    """The blocks of one stage.

    Attributes:
        grad_checkpointing: whether every block is computed again in the backward pass instead of keeping its
            activations. The second pass leaves the running statistics alone.
    """

    grad_checkpointing = False

    @classmethod
    def of(cls, row: Architecture, stage: int, output_stride: int) -> Stage:
        """Build a stage of a row."""
        return cls(*(ResidualBlock(row, stage, index, output_stride) for index in range(row.depths[stage])))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / stride, W / stride), rounded up."""
        checkpointing = self.grad_checkpointing and torch.is_grad_enabled()
        for block in self:
            if checkpointing:
                # The second forward pass must not count its batch in the running statistics again.
                x = checkpoint(block, x, use_reentrant=False, context_fn=partial(_contexts, block))
            else:
                x = block(x)
        return x


def set_grad_checkpointing(network: nn.Module, enable: bool) -> None:
    """Recompute every block of a network's stages in the backward pass, or keep their activations."""
    for module in network.modules():
        if isinstance(module, Stage):
            module.grad_checkpointing = enable


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    norms = [layer for layer in block.modules() if isinstance(layer, BatchNorm)]
    for norm in norms:
        norm.records_statistics = False
    try:
        yield
    finally:
        for norm in norms:
            norm.records_statistics = True
