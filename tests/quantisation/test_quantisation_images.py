"""Ranges and accuracy come from different images, drawn by the seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus import ResnexusError
from resnexus.data.preprocess import Preprocess
from resnexus.progress import Silent
from resnexus.quantisation.images import open_images
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.subject import Subject

PREPROCESS = Preprocess(size=8, resize_short=8, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def subject(tiny):
    return Subject(
        name="tiny", architecture="tiny", network=tiny, weights_sha256="", classes=tuple("abcdefg"),
        preprocess=PREPROCESS, published=None,
    )  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    """Twenty pictures of each of two classes, no two of one grey, without train/ and val/."""
    for place in range(40):
        path = tmp_path / "photos" / "bd"[place % 2] / f"{place:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 5 * place + 5, np.uint8)).save(path)
    return tmp_path / "photos"


def greys(images):
    return {round(255 * float(image.mean())) for image in images}


def seen(images):
    return [images.validation[place] for place in range(len(images.validation))]


def test_no_image_gives_both_ranges_and_accuracy(photos, subject):
    found = open_images(photos, subject, QuantisationSettings(), Silent())
    validation = seen(found)
    assert (len(found.calibration), len(validation)) == (32, 8)
    assert not greys(found.calibration) & greys(image for image, _ in validation)
    assert len(greys(found.calibration) | greys(image for image, _ in validation)) == 40
    for image, label in validation:
        assert label == (1, 3)[round(255 * float(image.mean())) // 5 % 2 == 0], "classes are the network's own"


def test_the_seed_draws_both(photos, subject):
    few = QuantisationSettings(calibration_images=10, validation_images=4)
    one, again = (open_images(photos, subject, few, Silent()) for _ in range(2))
    other = open_images(photos, subject, replace(few, seed=1), Silent())
    assert (len(one.calibration), len(one.validation)) == (10, 4)
    assert torch.equal(one.calibration, again.calibration)
    assert seen(one)[0][0].equal(seen(again)[0][0])
    assert greys(one.calibration) != greys(other.calibration)
    assert greys(image for image, _ in seen(one)) != greys(image for image, _ in seen(other))


def test_an_unreadable_image_is_passed_over(photos, subject):
    broken = sorted(photos.rglob("*.png"))[:10]
    for path in broken:
        path.write_bytes(b"none")
    found = open_images(photos, subject, QuantisationSettings(calibration_images=12), Silent())
    assert len(found.calibration) == 12
    for path in photos.rglob("*.png"):
        path.write_bytes(b"none")
    with pytest.raises(ResnexusError, match="none of 32 images for training could be decoded: there is nothing to"):
        open_images(photos, subject, QuantisationSettings(), Silent())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_drop": -0.1}, "max_drop=-0.1: expected at least 0"),
        ({"max_drop": float("nan")}, "max_drop=nan: expected at least 0"),
        ({"calibration_images": 0}, "calibration_images=0: expected a whole number of at least 1"),
        ({"validation_images": 0}, "validation_images=0: expected a whole number of at least 1"),
        ({"latency_batches": (1, 1)}, "batch sizes 1, 1: one is named twice"),
        ({"labels": "wnids"}, "unknown labels 'wnids': did you mean 'wnid'"),
    ],
)
def test_settings_that_are_none(options, message):
    with pytest.raises(ResnexusError, match=message):
        QuantisationSettings(**options)
