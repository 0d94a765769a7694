import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resnexus.report.thumbnails import thumbnail


def opened(address):
    head, _, content = address.partition(",")
    return head, Image.open(BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_kept_to_the_pixel(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, channels), dtype=np.uint8)
    head, image = opened(thumbnail(pixels))
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_large_pictures_shrink():
    head, image = opened(thumbnail(np.zeros((300, 600, 3), dtype=np.uint8)))
    assert head == "data:image/jpeg;base64"
    assert image.size == (192, 96)
