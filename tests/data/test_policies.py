"""Policies of augmentation beside torchvision's own, and the rectangle that is erased."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from resnexus.data.augment import Augment
from resnexus.data.labelled import ImageFiles
from resnexus.data.order import EpochOrder
from resnexus.data.policies import changed, erased
from resnexus.data.preprocess import Preprocess

PIXELS = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
SEEDS = range(12)
OURS = {
    "rand_augment": (v2.RandAugment(num_ops=3, magnitude=21), v2.RandAugment(num_ops=3, magnitude=7)),
    "trivial_augment": (v2.TrivialAugmentWide(), v2.AutoAugment()),
    "auto_augment": (v2.AutoAugment(), v2.TrivialAugmentWide()),
}


def of_torchvision(transform, seed):
    """Let torchvision draw from the number that ours takes from its generator."""
    torch.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
    return transform(torch.from_numpy(PIXELS).permute(2, 0, 1)).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("policy", OURS)
def test_a_policy_is_torchvisions_at_the_same_random_numbers(policy):
    same, another = OURS[policy]
    found = [changed(PIXELS, policy, 21, 3, np.random.default_rng(seed)) for seed in SEEDS]
    for seed, pixels in zip(SEEDS, found, strict=True):
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, of_torchvision(same, seed)), seed
    differing = [not np.array_equal(own, of_torchvision(another, seed)) for seed, own in zip(SEEDS, found, strict=True)]
    assert sum(differing) >= len(SEEDS) // 2  # which policy it is can be seen


def test_a_policy_leaves_the_image_and_the_global_generator_as_they_are():
    before = PIXELS.copy()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    changed(PIXELS, "auto_augment", 9, 2, np.random.default_rng(0))
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(PIXELS, before)


def rectangle(image):
    """Return height and width of what is 0, which is one rectangle in all channels."""
    gone = image == 0
    assert (gone == gone[:1]).all()
    rows, columns = (gone[0].any(axis).nonzero().flatten() for axis in (1, 0))
    assert gone[0][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert int(gone[0].sum()) == len(rows) * len(columns)
    return len(rows), len(columns)


def test_area_and_aspect_of_what_is_erased_are_within_what_is_stated():
    """Up to the rounding of the sides; and both ends of either are nearly reached."""
    random, image = np.random.default_rng(0), torch.ones(2, 200, 200)
    sides = [rectangle(erased(image, random)) for _ in range(1000)]
    assert bool((image == 1).all())
    for down, across in sides:
        assert (down + 0.5) * (across + 0.5) >= 0.02 * 200**2
        assert (down - 0.5) * (across - 0.5) <= 0.33 * 200**2
        if max(down, across) < 200:  # none is cut off at the edge
            assert (across + 0.5) / (down - 0.5) >= 0.3
            assert (across - 0.5) / (down + 0.5) <= 3.3
    areas = [down * across / 200**2 for down, across in sides]
    aspects = [math.log(across / down) for down, across in sides]
    assert np.mean(areas) == pytest.approx(0.175, abs=0.01)  # uniform
    assert np.mean(aspects) == pytest.approx((math.log(0.3) + math.log(3.3)) / 2, abs=0.08)  # uniform in the logarithm
    assert min(areas) < 0.025
    assert max(areas) > 0.32
    assert min(aspects) < math.log(0.33)
    assert max(aspects) > math.log(3)


def test_as_many_images_are_erased_as_the_probability_says():
    grey = np.full((8, 8, 3), 200, np.uint8)
    plain, augment = Preprocess(size=8, resize_short=8), Augment(crop_area=None, flip=0, erasing=0.25)
    random = np.random.default_rng(0)
    count = sum(bool((augment(grey, plain, random) == 0).any()) for _ in range(800))
    assert abs(count - 200) < 4 * math.sqrt(800 * 0.25 * 0.75)


def test_an_image_that_is_repeated_is_augmented_anew_each_time(tmp_path):
    random, paths = np.random.default_rng(0), [str(tmp_path / f"{number}.png") for number in range(12)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    augment, preprocess = Augment(policy="rand_augment", erasing=1.0), Preprocess(size=16, resize_short=16)
    images = ImageFiles(paths, [0, 1] * 6, ("a", "b"), preprocess=preprocess, augment=augment)
    order = EpochOrder(images=12, batch_size=4, repeats=3)
    views = {}
    for draw in order.epoch(0):
        views.setdefault(draw.image, []).append(images[draw][0])
        assert torch.equal(images[draw][0], views[draw.image][-1])  # of this draw always the same
    assert [len(own) for own in views.values()] == [3] * 4
    for first, second, third in views.values():
        assert not torch.equal(first, second)
        assert not torch.equal(first, third)
        assert not torch.equal(second, third)
