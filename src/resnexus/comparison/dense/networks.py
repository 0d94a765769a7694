"""A segmenter and a detector on any row: the same pyramid and the same head on every backbone."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.data.canvases import CLASSES, SIZE, DenseBatch
from resnexus.data.photographs.photographs import VOID
from resnexus.detection import backbone_with_fpn

PYRAMID = 32
"""Channels of every level of the pyramid and of the heads, on canvases."""

BACKBONES = {row.name: replace(row, stem="conv7") for row in SIBLINGS.values()}
"""The small siblings with the series' strided stem: their stages have strides 4, 8, 16 on images of any size."""

NUM_CLASSES = len(CLASSES) + 1
"""The digits, and the background, which is class 0."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a network looks like for a kind of images.

    Attributes:
        classes: with the background, which is class 0.
        in_chans: channels of the images.
        size: pixels on a side.
        width: channels of every level of the pyramid and of the heads.
        most_boxes: that a detector finds in an image.
        weights: that the backbone starts from, as `create_model` takes them; then no normalisation of it is trained.
        output_stride: of the backbone; its row's own if None.
        frozen: with weights, the last map of layers that are not trained, 0 the stem's, 1 the first stage's.
    """

    classes: int
    in_chans: int
    size: int
    width: int
    most_boxes: int
    weights: bool | str | os.PathLike[str] = False
    output_stride: int | None = None
    frozen: int = 1


CANVAS = Form(classes=NUM_CLASSES, in_chans=1, size=SIZE, width=PYRAMID, most_boxes=30)
"""For canvases of digits."""


@dataclass(frozen=True)
class Prediction:
    """What a network finds in one image: the class of every pixel, or boxes, the most certain first.

    Attributes:
        classes: (H, W) int64, of a segmenter; else None.
        boxes: (n, 4) float32 left, top, right, bottom in pixels, of a detector; else None.
        labels: (n,) int64 class of each box.
        scores: (n,) float32, of 0 to 1.
    """

    classes: Tensor | None = None
    boxes: Tensor | None = None
    labels: Tensor | None = None
    scores: Tensor | None = None


class DenseNetwork(nn.Module):
    """A backbone with a pyramid and a head, which tells its loss and what it finds."""

    def loss(self, batch: DenseBatch) -> Tensor:
        """Return the loss of a batch, a scalar, in training mode."""
        raise NotImplementedError

    def predict(self, images: Tensor) -> list[Prediction]:
        """Return what is found in (N, C, H, W) images, in evaluation mode."""
        raise NotImplementedError


class Segmenter(DenseNetwork):
    """The semantic branch of Panoptic FPN: all levels are brought to the finest, added up, and classified.

    Kirillov et al. 2019, arXiv:1901.02446, section 3.1, with one convolution a level. The logits, at a stride of 4, are
    brought to the image's size.

    Args:
        row: of the backbone.
        form: of the images and the network.
    """

    def __init__(self, row: Architecture, form: Form = CANVAS) -> None:
        super().__init__()
        self.backbone = _pyramid(row, form)
        self.levels = nn.ModuleList(_block(form.width) for _ in _maps(row))
        self.head = nn.Conv2d(form.width, form.classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, classes, H, W) logits of (N, C, H, W) images."""
        pyramid = list(self.backbone(images).values())
        size = pyramid[0].shape[2:]
        maps = [_resized(level(x), size) for level, x in zip(self.levels, pyramid, strict=True)]
        return _resized(self.head(torch.stack(maps).sum(0)), images.shape[2:])

    def loss(self, batch: DenseBatch) -> Tensor:
        """Return the cross-entropy, a mean over the pixels that have a class."""
        return F.cross_entropy(self(batch.images), batch.labels, ignore_index=VOID)

    def predict(self, images: Tensor) -> list[Prediction]:
        """Return the likeliest class of every pixel."""
        return [Prediction(classes=classes) for classes in self(images).argmax(1)]


class Detector(DenseNetwork):
    """torchvision's FCOS, which has no anchors, with two convolutions instead of four in each branch of the head.

    Tian et al. 2019, arXiv:1904.01355.

    Args:
        row: of the backbone.
        form: of the images and the network.
    """

    def __init__(self, row: Architecture, form: Form = CANVAS) -> None:
        super().__init__()
        backbone = _pyramid(row, form)
        levels = len(_maps(row))
        self.fcos = FCOS(
            backbone,
            form.classes,
            min_size=form.size,
            max_size=form.size,
            image_mean=[0.0] * form.in_chans,
            image_std=[1.0] * form.in_chans,
            anchor_generator=AnchorGenerator(
                sizes=tuple((float(4 << level),) for level in range(levels)), aspect_ratios=((1.0,),) * levels
            ),
            head=FCOSHead(form.width, 1, form.classes, num_convs=2),
            detections_per_img=form.most_boxes,
        )

    def loss(self, batch: DenseBatch) -> Tensor:
        """Return the sum of the losses of class, box and centre."""
        targets = [_asked_for(target) for target in batch.targets]
        return torch.stack(list(self.fcos(list(batch.images), targets).values())).sum()

    def predict(self, images: Tensor) -> list[Prediction]:
        """Return the boxes that are left after suppressing those of one class that overlap."""
        return [Prediction(**found) for found in self.fcos(list(images))]


NETWORKS: dict[str, type[DenseNetwork]] = {"segmentation": Segmenter, "detection": Detector}


def _asked_for(target: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return boxes and labels without those of crowds, where a target says which are."""
    if "iscrowd" not in target:
        return target
    return {name: target[name][~target["iscrowd"]] for name in ("boxes", "labels")}


class _NoMore(ExtraFPNBlock):  # type: ignore[misc]  # torchvision has no types
    """Leaves a pyramid as it is; torchvision would add a level."""

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        return results, names


def _pyramid(row: Architecture, form: Form) -> BackboneWithFPN:
    return backbone_with_fpn(
        row,
        form.weights,
        maps=_maps(row),
        frozen=None if form.weights is False else form.frozen,
        out_channels=form.width,
        in_chans=form.in_chans,
        output_stride=form.output_stride,
        extra_blocks=_NoMore(),
        norm_layer=nn.BatchNorm2d,  # without it the pyramid learns several times as slowly
    )


def _maps(row: Architecture) -> tuple[int, ...]:
    return tuple(range(1, len(row.depths) + 1))


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
