"""One network class, built from a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from resnexus.architectures.blocks import BatchNorm, ResidualBlock, Stem
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError


@dataclass(frozen=True)
class Feature:
    """One feature map: its name, channels, image pixels per feature pixel, and the module that makes it."""

    name: str
    num_chs: int
    reduction: int
    module: str


class FeatureInfo(tuple[Feature, ...]):
    """The feature maps of a network, first stage first, with the accessors that timm's users know."""

    def channels(self) -> list[int]:
        """Channels of every feature map."""
        return [feature.num_chs for feature in self]

    def reduction(self) -> list[int]:
        """Image pixels per feature pixel, of every feature map."""
        return [feature.reduction for feature in self]

    def module_name(self) -> list[str]:
        """Name of the module behind every feature map."""
        return [feature.module for feature in self]


def _feature_info(row: Architecture) -> FeatureInfo:
    return FeatureInfo(
        Feature(f"stage{stage}", row.outer_width(stage), reduction, f"stages.{stage}")
        for stage, reduction in enumerate(row.reductions)
    )


class Network(nn.Module):
    """Stem, stages of residual blocks, global average pool, one fully connected layer.

    Args:
        row: what to build.
        num_classes: outputs of the last layer; 0 leaves it out, and the pooled features are returned.
        in_chans: channels of the image.

    Attributes:
        architecture: the row.
        in_chans: as given.
        feature_info: the feature maps of the stages.
        num_features: channels of the last one.
        record: what is known of the trained weights it was created with, a `resnexus.weights.CheckpointRecord`; None if
            it was created with drawn ones.
    """

    record: Any = None

    def __init__(self, row: Architecture, num_classes: int = 1000, in_chans: int = 3) -> None:
        super().__init__()
        _check_count("in_chans", in_chans, least=1)
        self.architecture = row
        self.in_chans = in_chans
        self.feature_info = _feature_info(row)
        self.num_features = row.outer_width(len(row.depths) - 1)
        self.grad_checkpointing = False
        self.stem = Stem(row, in_chans)
        self.stages = nn.ModuleList(_stage(row, stage) for stage in range(len(row.depths)))
        self.reset_classifier(num_classes)
        initialise(self)

    def stage_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the output of every stage by name.

        Args:
            x: (N, in_chans, H, W) images.

        Returns:
            `"stage0"` .. `"stage3"` -> (N, channels, H / reduction, W / reduction), rounded up.
        """
        features = {}
        x = self.stem(x)
        for feature, stage in zip(self.feature_info, self.stages, strict=True):
            x = self._run_stage(stage, x)
            features[feature.name] = x
        return features

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) images -> (N, num_features, H / 32, W / 32), the output of the last stage."""
        x = self.stem(x)
        for stage in self.stages:
            x = self._run_stage(stage, x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, num_features, h, w) -> (N, num_classes) logits, or the (N, num_features) means if `pre_logits`."""
        x = x.mean((2, 3))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) images -> (N, num_classes) logits."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the last layer: `nn.Linear`, or `nn.Identity` if there are no classes."""
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a freshly initialised one, on the same device and in the same dtype.

        Raises:
            ResnexusError: `num_classes` is not a whole number of at least 0.
        """
        _check_count("num_classes", num_classes, least=0)
        self.num_classes = num_classes
        if num_classes == 0:
            self.head: nn.Module = nn.Identity()
            return
        like = next(self.parameters())
        self.head = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        initialise(self.head)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass instead of keeping its activations."""
        self.grad_checkpointing = enable

    def _run_stage(self, stage: nn.Module, x: Tensor) -> Tensor:
        if not (self.grad_checkpointing and torch.is_grad_enabled()):
            return stage(x)
        for block in stage.children():
            # The second forward pass must not count its batch in the running statistics again.
            x = checkpoint(block, x, use_reentrant=False, context_fn=partial(_checkpoint_contexts, block))
        return x


class FeatureNetwork(nn.Module):
    """Stem and stages as far as they are asked for; returns feature maps, as timm's `features_only=True` does.

    Args:
        row: what to build.
        out_indices: the stages to return, in ascending order; negative numbers count from the last.
        in_chans: channels of the image.

    Raises:
        ResnexusError: an index that is no stage, twice the same, or not ascending.

    Attributes:
        record: as for `Network`.
    """

    record: Any = None

    def __init__(self, row: Architecture, out_indices: Sequence[int], in_chans: int = 3) -> None:
        super().__init__()
        network = Network(row, num_classes=0, in_chans=in_chans)
        self.architecture = row
        self.in_chans = in_chans
        self.out_indices = _check_indices(out_indices, len(row.depths))
        self.feature_info = FeatureInfo(network.feature_info[index] for index in self.out_indices)
        self.stem = network.stem
        self.stages = network.stages[: self.out_indices[-1] + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_chans, H, W) images -> per stage asked for, (N, channels, H / reduction, W / reduction)."""
        features = []
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                features.append(x)
        return features


def initialise(module: nn.Module) -> None:
    """Draw the weights of `module` as published.

    Convolutions: Normal(0, sqrt(2 / (k * k * in_channels))), the channels *not* divided by the groups.
    Linear layers: Uniform(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), biases 0. Normalisations: 1 and 0, none of them
    zero-initialised. Parameters on the meta device have no values to draw, and are left alone: the first drawing there
    would have PyTorch import seconds of machinery.
    """
    if any(parameter.is_meta for parameter in module.parameters()):
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels
            nn.init.normal_(layer.weight, std=(2 / fan) ** 0.5)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()


def _stage(row: Architecture, stage: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(row, stage, index) for index in range(row.depths[stage])))


def _checkpoint_contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
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


def _check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ResnexusError(f"{name}={value!r}: expected a whole number of at least {least}")


def _check_indices(indices: Sequence[int], stages: int) -> tuple[int, ...]:
    resolved = tuple(index + stages if index < 0 else index for index in indices)
    accepted = f"ascending stages from 0 to {stages - 1}, or negative to count from the last"
    if not resolved or any(not 0 <= index < stages for index in resolved):
        raise ResnexusError(f"out_indices={tuple(indices)}: expected {accepted}")
    if any(later <= earlier for earlier, later in pairwise(resolved)):
        raise ResnexusError(f"out_indices={tuple(indices)}: expected {accepted}, each once")
    return resolved
