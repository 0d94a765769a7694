"""The contract of what answers: prepared images to logits, with the card that says what it is.

`resnexus.prediction.opening` opens a runner by what `--model` names. A form of a network that is not here, such as an
exported file, becomes one by keeping this contract and being named there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from resnexus.architectures.activation import class_activation
from resnexus.architectures.network import Network
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a runner is.

    Attributes:
        name: as it was asked for.
        architecture: name of its row.
        weights: SHA-256 of the file, in hexadecimal; `"random"` for drawn ones.
        num_classes: logits of an image.
        classes: what they stand for, in their order; None if nobody says.
        preprocess: how images are prepared.
        multi_label: whether every class is a question of its own.
        batch_size: most images in one call.
        whole: whether it prepares pictures itself: then it takes one in a call, as it was decoded.
        notes: what had to be assumed, in sentences.

    Raises:
        ResnexusError: the names are not as many as the classes, or several whole pictures in a call.
    """

    name: str
    architecture: str
    weights: str
    num_classes: int
    classes: tuple[str, ...] | None
    preprocess: Preprocess
    multi_label: bool = False
    batch_size: int = 32
    whole: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.classes is not None and len(self.classes) != self.num_classes:
            raise ResnexusError(f"{self.name}: {len(self.classes)} names for {self.num_classes} classes")
        if self.whole and self.batch_size != 1:
            raise ResnexusError(f"{self.name}: batch_size={self.batch_size}, and whole pictures come one at a time")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a runner says of N images; on the CPU, in float32.

    Attributes:
        logits: (N, classes).
        embeddings: (N, channels), the mean of the last feature map; None unless the runner was opened for it.
        heat: (N, h, w), the class activation map of each image's first class (Zhou et al., arXiv:1512.04150): the last
            feature map, weighted by that row of the last layer. Its mean is the logit without its bias. Grad-CAM
            (arXiv:1610.02391) at that map is the same times a positive factor, before its negative part is cut off.
            None unless the runner was opened for it.
    """

    logits: Tensor
    embeddings: Tensor | None = None
    heat: Tensor | None = None


class Runner(Protocol):
    """Answers for images.

    Attributes:
        card: what it is.
    """

    card: Card

    def __call__(self, images: Tensor) -> Answers:
        """Answer for images.

        Args:
            images: (N, C, H, W) float32 on the CPU, prepared, N from 1 to the card's `batch_size`; for a card that says
                `whole`, one picture of any size, (1, H, W, C) uint8.
        """
        ...

    def close(self) -> None:
        """Free what is held; nothing may be asked afterwards."""
        ...


class FunctionRunner:
    """Runs a function of images that gives their logits: a network, or an engine for one.

    Args:
        card: what it is.
        function: (N, C, H, W) float32 -> (N, classes) logits.
    """

    def __init__(self, card: Card, function: Callable[[Tensor], Tensor]) -> None:
        self.card, self._function = card, function

    def __call__(self, images: Tensor) -> Answers:
        """Answer with logits alone."""
        with torch.inference_mode():
            return Answers(logits=self._function(images).float().cpu())

    def close(self) -> None:
        """Do nothing: the memory goes with the runner."""


class MapRunner:
    """Runs a function of images that gives their last feature map, and the last layer behind it.

    Args:
        card: what it is.
        function: (N, C, H, W) float32 -> (N, channels, h, w).
        network: whose last layer it is.
    """

    def __init__(self, card: Card, function: Callable[[Tensor], Tensor], network: Network) -> None:
        self.card, self._function, self._network = card, function, network

    def __call__(self, images: Tensor) -> Answers:
        """Answer with everything there is."""
        with torch.inference_mode():
            maps = self._function(images).float()
            embeddings = self._network.forward_head(maps, pre_logits=True)
            head = self._network.head
            logits: Tensor = head(embeddings)
            if not isinstance(head, nn.Linear):
                raise ResnexusError(f"{self.card.name}: the last layer is {type(head).__name__}, expected Linear")
            heat = class_activation(maps, logits, head.weight)
            return Answers(logits=logits.cpu(), embeddings=embeddings.cpu(), heat=heat.cpu())

    def close(self) -> None:
        """Do nothing: the memory goes with the runner."""
