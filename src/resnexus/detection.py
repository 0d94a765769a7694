"""Backbones for torchvision's detectors, and what fine-tuning them takes: frozen stages and frozen normalisations."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from resnexus.architectures.blocks import BatchNorm
from resnexus.architectures.features import flat_children, resolved_indices
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.models import create_model


def backbone_with_fpn(
    model: str | Architecture,
    pretrained: bool | str | os.PathLike[str] = False,
    *,
    maps: Sequence[int] = (1, 2, 3, 4),
    out_channels: int = 256,
    frozen: int | None = None,
    freeze_norms: bool | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
    in_chans: int | None = None,
    **options: Any,
) -> BackboneWithFPN:
    """Create a backbone with a feature pyramid, as torchvision's detectors take it.

    Lin et al. 2016, arXiv:1612.03144. `FasterRCNN(backbone_with_fpn("ResNet50_vd"), num_classes=2)` is all there is to
    it; other image channels than 3 need `image_mean=` and `image_std=` of as many numbers there.

    Args:
        model: a name or a row.
        pretrained: as for `create_model`.
        maps: the feature maps that the pyramid is built on, ascending: 0 is the stem's at stride 2, 1 to 4 are those of
            the stages at strides 4 to 32.
        out_channels: of every level of the pyramid.
        frozen: as for `freeze`: the last map that is made by layers that are not trained. If None, 1 (stem and first
            stage) with trained weights and nothing with fresh ones.
        freeze_norms: whether all normalisations keep their statistics, scale and shift, also in training; detectors
            train with few images per step. If None, with trained weights only: fresh statistics say nothing.
        extra_blocks: more levels, torchvision's `LastLevelMaxPool` if None; its `LastLevelP6P7` for RetinaNet.
        norm_layer: normalisation of the pyramid; none if None.
        in_chans: channels of the image.
        **options: `output_stride`, and fields of a row, as for `create_model`.

    Returns:
        A module (N, in_chans, H, W) -> dict of maps (N, out_channels, h, w), `"0"` the finest, with `out_channels`.

    Raises:
        ResnexusError: as for `create_model`, or maps that do not ascend.
    """
    network = create_model(model, pretrained, features_only=True, out_indices=tuple(maps), in_chans=in_chans, **options)
    if list(network.out_indices) != sorted(network.out_indices):
        raise ResnexusError(f"maps={tuple(maps)}: a pyramid is built on maps in ascending order")
    trained = pretrained is not False
    last = 1 if frozen is None and trained else frozen
    if last is not None:
        freeze(network, last)
    if trained if freeze_norms is None else freeze_norms:
        freeze_batch_norms(network)
    body = nn.Sequential(OrderedDict(flat_children(network.stem, network.stages)))
    names = ["stem", *(f"stage{stage}" for stage in range(len(network.stages)))]
    return BackboneWithFPN(
        body,
        return_layers={names[index]: str(level) for level, index in enumerate(network.out_indices)},
        in_channels_list=network.feature_info.channels(),
        out_channels=out_channels,
        extra_blocks=extra_blocks,
        norm_layer=norm_layer,
    )


def freeze(network: Network | FeatureNetwork, last: int) -> None:
    """Train neither the stem nor the stages up to a feature map; their normalisations are frozen, too.

    Args:
        network: changed in place.
        last: the map, 0 for the stem alone, 1 for stem and first stage (`frozen_stages=1` elsewhere); negative numbers
            count from the last.

    Raises:
        ResnexusError: no such map.
    """
    (last,) = resolved_indices((last,), len(network.stages) + 1)
    for part in (network.stem, *network.stages[:last]):
        part.requires_grad_(False)
        freeze_batch_norms(part)


def freeze_batch_norms(module: nn.Module) -> None:
    """Keep every normalisation as it is, also in training: statistics, scale and shift.

    `train()` and `requires_grad_()` of the whole do not undo the first: the running statistics stay in use.
    """
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            layer.frozen = True
            layer.requires_grad_(False)
