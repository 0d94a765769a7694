"""A network whose last layer is a map: what every place of a picture says for every class."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn.functional import conv2d

from resnexus.architectures.network import Network
from resnexus.errors import ResnexusError


@final
class Mapped(nn.Module):
    """A network that gives the class activation maps of all classes beside its logits.

    The last layer is linear and so is the mean before it, so that they may change places: the maps are the layer
    applied to every place of the last feature map, and the logits are their means plus the bias (Zhou et al. 2016,
    Learning Deep Features for Discriminative Localization). For 7 x 7 places that is 48 times the multiply-adds of
    the last layer more: 2 per cent of ResNeXt50_32x4d.

    Args:
        network: in evaluation mode.

    Raises:
        ResnexusError: the network has no last layer.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if not isinstance(network.head, nn.Linear):
            raise ResnexusError(
                f"{network.architecture.name} has no last layer, so that it names no class: give it one with "
                "reset_classifier(num_classes)"
            )
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) float32, prepared -> logits (N, classes), maps (N, classes, h, w)."""
        features = self.network.forward_features(images)
        maps = conv2d(features, self.network.get_parameter("head.weight")[:, :, None, None])
        return maps.mean((2, 3)) + self.network.get_parameter("head.bias"), maps
