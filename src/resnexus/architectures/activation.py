"""Where in an image a network sees its class."""

from __future__ import annotations

from torch import Tensor


def class_activation(features: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
    """Return for each image how much every place of the last map speaks for the top class.

    The class activation map, sum over channels of weight[class, channel] x feature[channel] (Zhou et al. 2016,
    Learning Deep Features for Discriminative Localization). Its mean, plus the bias, is the logit of the class; where
    it is positive it is Grad-CAM's map times the number of places.

    Args:
        features: (N, C, h, w), the output of the last stage.
        logits: (N, classes).
        weight: (classes, C), of the last layer.

    Returns:
        (N, h, w).
    """
    chosen = weight.index_select(0, logits.argmax(1))
    return (features * chosen[:, :, None, None]).sum(1)
