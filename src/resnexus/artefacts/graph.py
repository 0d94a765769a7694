"""A network with what an artefact has before and behind it, as one module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from resnexus.acceleration.backends.exporting import exported_for
from resnexus.architectures.activation import class_activation
from resnexus.architectures.features import feature_maps
from resnexus.architectures.network import Network
from resnexus.artefacts.record import MULTIPLE, Interface
from resnexus.artefacts.resizing import Frame
from resnexus.data.preprocess import Preprocess


class Normalise(nn.Module):
    """Pixels -> what enters the network, as `Preprocess.normalise` computes it."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        for name in ("mean", "std"):
            numbers = torch.from_numpy(np.array(getattr(preprocess, name), np.float32))
            self.register_buffer(name, numbers[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 to 255 -> (N, C, H, W) float32."""
        return (pixels.permute(0, 3, 1, 2).float() * (1 / 255) - self.mean) / self.std


class Deployed(nn.Module):
    """A network between what an artefact takes and what it gives.

    Args:
        network: in evaluation mode, rewritten already.
        preprocess: how its images are prepared.
        interface: what goes in and comes out.

    Raises:
        ResnexusError: a preprocessing that cannot be in a graph, where all of it should be.
    """

    def __init__(self, network: Network, preprocess: Preprocess, interface: Interface) -> None:
        super().__init__()
        self.network, self.interface = network, interface
        self.frame = Frame(preprocess) if interface.included == "full" else None
        self.normalise = None if interface.included == "none" else Normalise(preprocess)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """What `interface` says goes in -> the scores and, if they are wanted, the heat maps; or the feature maps."""
        if self.frame is not None:
            images = self.frame(images)[None]
        if self.normalise is not None:
            images = self.normalise(images)
        if self.interface.maps:
            return tuple(feature_maps_of(self.network, images, self.interface))
        features = self.network.forward_features(images)
        logits = self.network.forward_head(features)
        found = scores(logits, self.interface)
        if not self.interface.heatmap:
            return (found,)
        return found, class_activation(features, logits, self.network.get_parameter("head.weight"))


def feature_maps_of(network: Network, images: Tensor, interface: Interface) -> list[Tensor]:
    """(N, C, H, W) images -> the feature maps that an interface names, in its order."""
    found = feature_maps(network.stem, network.stages, images, interface.maps)
    return [found[number] for number in interface.maps]


def scores(logits: Tensor, interface: Interface) -> Tensor:
    """(N, classes) logits -> the same, or their probabilities, as an interface says."""
    if interface.included == "none":
        return logits
    return logits.sigmoid() if interface.multi_label else logits.softmax(1)


def example(interface: Interface) -> Tensor:
    """Return something that the graph takes, of zeros."""
    side, channels = interface.image_size, interface.in_chans
    # No length that is free is 1, which would be taken for a constant, and none is another's.
    count = 2 if interface.batch == "any" else 1
    if interface.included == "full":
        return torch.zeros(side + 5, side + 11, channels, dtype=torch.uint8)
    if interface.sizes == "fixed":
        sides = (side, side)
    else:
        sides = (max(side, 2 * MULTIPLE), max(side, 2 * MULTIPLE) + MULTIPLE)
    if interface.included == "normalise":
        return torch.zeros(count, *sides, channels, dtype=torch.uint8)
    return torch.zeros(count, channels, *sides)


def program(deployed: Deployed) -> ExportedProgram:
    """Export what is to be deployed, for the images that its interface says."""
    interface = deployed.interface
    if interface.included == "full":
        free = {0: Dim("height", min=1), 1: Dim("width", min=1)}
    else:
        free = {0: Dim("batch", min=1)} if interface.batch == "any" else {}
        if interface.sizes != "fixed":
            height = 1 if interface.included == "normalise" else 2
            free[height] = MULTIPLE * Dim("rows", min=1)
            free[height + 1] = MULTIPLE * Dim("columns", min=1)
    return exported_for(deployed, example(interface), free)
