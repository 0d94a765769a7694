"""What torchvision knows to do to training images, as pure functions of the image and a random generator."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]

Policy = Literal["none", "rand_augment", "trivial_augment", "auto_augment"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
MAX_MAGNITUDE, MAX_OPERATIONS = 30, 10
"""Of RandAugment; torchvision knows no magnitude above."""


def changed(pixels: Array, policy: Policy, magnitude: int, operations: int, random: np.random.Generator) -> Array:
    """Apply a policy of augmentation: RandAugment, TrivialAugment or AutoAugment, as torchvision implements them.

    Cubuk et al. 2019, arXiv:1909.13719; Mueller and Hutter 2021, arXiv:2103.10158; Cubuk et al. 2018,
    arXiv:1805.09501.

    Args:
        pixels: (H, W, C) uint8.
        policy: which.
        magnitude: of RandAugment, 0 to 30.
        operations: of RandAugment, per image.
        random: where all randomness comes from.
    """
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**63)))
        result: Tensor = _policy(policy, magnitude, operations)(image)
    return result.permute(1, 2, 0).numpy()


def erased(image: Tensor, random: np.random.Generator) -> Tensor:
    """Set a rectangle to 0, the mean: 2 to 33 % of the area, 0.3 to 3.3 times as wide as high; arXiv:1708.04896.

    Args:
        image: (C, H, W), normalised; left as it is.
        random: where all randomness comes from.
    """
    height, width = image.shape[-2:]
    area = height * width * random.uniform(0.02, 0.33)
    aspect = np.exp(random.uniform(np.log(0.3), np.log(3.3)))
    down = min(height, max(1, round(float((area / aspect) ** 0.5))))
    across = min(width, max(1, round(float((area * aspect) ** 0.5))))
    top, left = int(random.integers(height - down, endpoint=True)), int(random.integers(width - across, endpoint=True))
    result = image.clone()
    result[:, top : top + down, left : left + across] = 0
    return result


@lru_cache
def _policy(policy: Policy, magnitude: int, operations: int) -> Any:
    from torchvision.transforms import v2  # only here: it takes a second to import

    if policy == "rand_augment":
        return v2.RandAugment(num_ops=operations, magnitude=magnitude)
    return v2.TrivialAugmentWide() if policy == "trivial_augment" else v2.AutoAugment()
