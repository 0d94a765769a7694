"""Thousands of damaged pictures of every format: each gives a tensor or an `ImageError`, silently and soon."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus.data.images import FORMATS
from resnexus.data.preprocess import Preprocess
from resnexus.data.sources import ImageError

PREPROCESS = Preprocess(size=32, resize_short=36)
WAYS = {
    "JPEG": ({}, {"progressive": True}, {"subsampling": 0, "restart_marker_blocks": 2}),
    "PNG": ({}, {"dpi": (300, 300), "bits": 8}),
    "WEBP": ({}, {"lossless": True}),
    "BMP": ({},),
    "GIF": ({}, {"interlace": 0}),
    "TIFF": tuple({"compression": name} for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
    "AVIF": ({"speed": 10},),
}
MODES = ("RGB", "L", "P", "RGBA", "CMYK", "1")
LONGEST_S = 20.0
"""Seconds of processor time that no picture of 60 x 44 pixels may take, whatever its bytes say it is."""


def pictures(kind):
    """One file for each way to write the format and each mode that it can hold, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.RandomState(0).randint(0, 256, (11, 15, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((60, 44), Image.Resampling.BICUBIC)
    for options in WAYS[kind]:
        for mode in MODES:
            file = io.BytesIO()
            try:
                picture.convert(mode).save(file, kind, exif=exif, **options)
            except (OSError, ValueError):
                continue  # not every format holds every mode
            yield file.getvalue()


def damaged(content, random):
    """Return the content with one kind of damage; half of it falls into the first 200 bytes, where the headers are."""
    data = bytearray(content)
    reach = min(len(data), 200) if random.random() < 0.5 else len(data)
    damage = random.integers(5)
    places = random.integers(reach, size=random.integers(1, 9))
    if damage == 0:
        for place in places:
            data[place] = random.integers(256)
    elif damage == 1:
        for place in places:
            data[place] ^= 1 << random.integers(8)
    elif damage == 2:
        data = data[: places[0]]
    elif damage == 3:
        start, length = places[0], random.integers(1, 64)
        del data[start : start + length]
    else:
        start, value = places[0], random.choice([0, 1, 127, 255])
        data[start : start + 4] = bytes([value] * 4)
    return bytes(data)


def outcome(content):
    """Decode and transform a picture: True for a tensor, False for an `ImageError`; anything else is an error."""
    try:
        tensor = PREPROCESS(content)
    except ImageError as error:
        if not str(error).isprintable():
            raise RuntimeError(f"not fit for a terminal: {error!r}") from error
        return False
    assert tensor.shape == (3, 32, 32)
    assert torch.isfinite(tensor).all()
    return True


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rounds", [5, pytest.param(400, marks=pytest.mark.slow)])
def test_damaged_pictures_give_a_tensor_or_an_error(kind, rounds, capfd):
    random = np.random.default_rng(rounds)
    outcomes, longest = [], 0.0
    files = list(pictures(kind))
    capfd.readouterr()  # what libtiff says about modes that it cannot write
    assert all(map(outcome, files))
    for _ in range(rounds):
        for content in files:
            start = time.process_time()
            outcomes.append(outcome(damaged(content, random)))
            longest = max(longest, time.process_time() - start)
    assert len(outcomes) == rounds * len(files)
    assert 0 < sum(outcomes) < len(outcomes)
    assert longest < LONGEST_S
    assert capfd.readouterr() == ("", "")
