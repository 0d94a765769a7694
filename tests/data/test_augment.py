import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnexus.data.augment import Augment, Crop, shifted
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError

SMALL = Preprocess(size=16, resize_short=18)
PLAIN = Augment(crop_area=None, flip=0)


def noise(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


sides = st.integers(1, 2000)
seeds = st.integers(0, 2**32 - 1)
areas = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(lambda pair: tuple(sorted(pair)))
aspects = st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)).map(lambda pair: tuple(sorted(pair)))


@settings(max_examples=100, deadline=None)
@given(sides, sides, seeds, areas, aspects)
def test_the_crop_lies_inside_the_image(height, width, seed, area, aspect):
    """Ten crops of each example: drawing an example costs more than cropping."""
    augment = Augment(crop_area=area, crop_aspect=aspect)
    random = np.random.default_rng(seed)
    for crop in (augment.crop(height, width, random) for _ in range(10)):
        assert min(crop.height, crop.width) >= 1
        assert crop.top >= 0
        assert crop.left >= 0
        assert crop.top + crop.height <= height
        assert crop.left + crop.width <= width
        assert crop.height * crop.width <= max(area[1] * height * width, crop.height, crop.width) + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(200, 2000), st.integers(200, 2000), seeds)
def test_area_and_aspect_are_within_the_published_limits(height, width, seed):
    """Up to the rounding down of the sides; only the limit of an elongated image may push the area below 0.08."""
    random = np.random.default_rng(seed)
    limit = min(0.75 * width / height, 0.75 * height / width, 0.08)
    for crop in (Augment().crop(height, width, random) for _ in range(10)):
        assert (crop.height + 1) * (crop.width + 1) > limit * height * width * (1 - 1e-9)
        assert crop.height * crop.width <= height * width
        assert crop.width / (crop.height + 1) <= 4 / 3 + 1e-9
        assert (crop.width + 1) / crop.height >= 3 / 4 - 1e-9


def draws(height, width, count=4000, **options):
    random = np.random.default_rng(0)
    return np.array([Augment(**options).crop(height, width, random) for _ in range(count)], dtype=float)


def ks_distance(values, cumulative):
    """Kolmogorov and Smirnov's distance; below 1.63 / sqrt(n) with 99 % if the values follow the distribution."""
    values = np.sort(values)
    expected = cumulative(values)
    steps = np.arange(len(values) + 1) / len(values)
    return max(np.abs(steps[1:] - expected).max(), np.abs(steps[:-1] - expected).max())


def test_the_aspect_is_uniform_not_log_uniform():
    crops = draws(5000, 5000, crop_area=(0.3, 0.3))
    aspect = crops[:, 3] / crops[:, 2]
    bound = 1.63 / math.sqrt(len(aspect))
    assert ks_distance(aspect, lambda r: (r - 3 / 4) / (4 / 3 - 3 / 4)) < bound
    assert ks_distance(aspect, lambda r: np.log(r * 4 / 3) / np.log(16 / 9)) > 2 * bound


def test_the_area_is_uniform_where_every_aspect_fits():
    crops = draws(5000, 5000, crop_area=(0.1, 0.7))
    area = crops[:, 2] * crops[:, 3] / 5000**2
    assert ks_distance(area, lambda a: (a - 0.1) / 0.6) < 1.63 / math.sqrt(len(area)) + 1e-3


def test_the_area_is_cut_down_to_what_fits():
    """On 5000 x 5000 a crop of aspect r fits up to min(r, 1 / r); E of (0.08 + that) / 2 over uniform r."""
    crops = draws(5000, 5000, count=8000)
    area = crops[:, 2] * crops[:, 3] / 5000**2
    low, high = 3 / 4, 4 / 3
    largest = ((1 - low**2) / 2 + math.log(high)) / (high - low)
    assert area.mean() == pytest.approx((0.08 + largest) / 2, abs=0.01)
    assert area.max() > 0.95


def test_an_elongated_image_is_cropped_at_its_limit():
    """On 100 x 10000 every aspect's limit is below 0.08, so the crop takes the whole short side."""
    crops = draws(100, 10_000, count=500)
    assert set(crops[:, 2]) <= {99, 100}
    assert crops[:, 3].min() >= 74
    assert crops[:, 3].max() <= 133
    assert ks_distance(crops[:, 1] / (10_000 - crops[:, 3]), lambda x: x) < 1.63 / math.sqrt(500)


def test_positions_are_uniform_and_reach_both_edges():
    crops = draws(10, 10, count=6000, crop_area=(0.49, 0.49), crop_aspect=(1, 1))
    assert set(crops[:, 2]) == set(crops[:, 3]) == {7}
    for corner in (crops[:, 0], crops[:, 1]):
        counts = np.bincount(corner.astype(int))
        assert len(counts) == 4
        assert np.abs(counts - 1500).max() < 4 * math.sqrt(1500)


def test_a_single_pixel_can_be_cropped():
    assert Augment().crop(1, 1, np.random.default_rng(0)) == Crop(0, 0, 1, 1)


def test_the_crop_is_resized_as_opencv_does():
    pixels = noise(120, 90)
    found = Augment(flip=0)(pixels, SMALL, np.random.default_rng(5))
    top, left, height, width = Augment(flip=0).crop(120, 90, np.random.default_rng(5))
    part = cv2.resize(pixels[top : top + height, left : left + width], (16, 16), interpolation=cv2.INTER_LINEAR)
    assert torch.equal(found, SMALL.normalise(part))


def test_the_flip_mirrors_left_and_right():
    pixels = noise(16, 16)
    flipped = Augment(crop_area=None, flip=1)(pixels, SMALL, np.random.default_rng(0))
    assert torch.equal(flipped, PLAIN(pixels, SMALL, np.random.default_rng(0)).flip(2))


def test_half_of_the_images_are_flipped():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8] = 255
    random = np.random.default_rng(0)
    augment = Augment(crop_area=None)
    flips = sum(bool(augment(pixels, SMALL, random)[0, 0, 0] < 0) for _ in range(1000))
    assert abs(flips - 500) < 4 * math.sqrt(250)


def test_without_anything_it_is_the_evaluation_transform():
    pixels = noise(50, 60)
    assert torch.equal(PLAIN(pixels, SMALL, np.random.default_rng(0)), SMALL(pixels))


def test_the_generator_decides_everything():
    pixels = noise(50, 60)
    augment = Augment(shift=2)
    first, again, other = (augment(pixels, SMALL, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    random = np.random.default_rng(1)
    augment(pixels, SMALL, random)
    assert not torch.equal(augment(pixels, SMALL, random), first)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5), seeds)
def test_shifts_move_by_at_most_the_limit_and_bring_in_black(height, width, limit, seed):
    """Each pixel holds its own number, so what moved where can be read off."""
    image = np.arange(1, 1 + height * width, dtype=np.uint8).reshape(height, width, 1)
    moved = shifted(np.stack([image] * 3), limit, np.random.default_rng(seed))
    assert moved.shape == (3, height, width, 1)
    padded = np.pad(image[..., 0], limit)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width))
    for result in moved[..., 0]:
        assert (windows == result).all(axis=(2, 3)).any()


def test_all_shifts_occur_equally_often():
    image = np.zeros((4500, 5, 5, 1), np.uint8)
    image[:, 2, 2] = 1
    counts = shifted(image, 1, np.random.default_rng(0)).sum(axis=0)[..., 0]
    assert counts[1:4, 1:4].sum() == 4500
    assert np.abs(counts[1:4, 1:4].astype(int) - 500).max() < 4 * math.sqrt(500)


def test_the_shift_is_applied_after_the_crop():
    white = np.full((16, 16, 3), 255, np.uint8)
    found = Augment(flip=0, shift=3)(white, SMALL, np.random.default_rng(3))
    black, full = SMALL.normalise(np.zeros((1, 1, 3), np.uint8)), SMALL.normalise(white[:1, :1])
    is_black = (found == black).all(0)
    assert ((found == full).all(0) | is_black).all()
    assert 0 < is_black.sum() <= 256 - 13 * 13


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop_area": (0, 1)}, r"crop_area=\(0, 1\): expected \(smallest, largest\), 0 < smallest <= largest <= 1"),
        ({"crop_area": (0.5, 0.1)}, "crop_area="),
        ({"crop_area": (0.5, 1.5)}, "crop_area="),
        ({"crop_area": 0.5}, "crop_area=0.5"),
        ({"crop_aspect": (0, 1)}, r"crop_aspect=\(0, 1\): expected \(smallest, largest\), 0 < smallest <= largest$"),
        ({"crop_aspect": None}, "crop_aspect=None"),
        ({"flip": 1.5}, r"flip=1\.5: expected a probability from 0 to 1"),
        ({"flip": -0.1}, r"flip=-0\.1"),
        ({"shift": -1}, "shift=-1: expected a whole number of pixels, at least 0"),
        ({"shift": 0.5}, r"shift=0\.5"),
    ],
)
def test_values_are_checked_on_creation(values, message):
    with pytest.raises(ResnexusError, match=message):
        Augment(**values)


def test_lists_from_a_recipe_file_are_taken():
    assert Augment(crop_area=[0.08, 1.0], crop_aspect=[3 / 4, 4 / 3]) == Augment()
