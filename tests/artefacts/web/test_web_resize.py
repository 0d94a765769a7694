"""The page prepares a picture as Python does, to the last bit."""

import numpy as np
import pytest

from resnexus import Preprocess
from tests.artefacts.web.conftest import as_base64, from_base64

# (height, width)
SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 700),
    (700, 1),
    (3, 500),
    (29, 29),
    (24, 24),
    (29, 41),
    (33, 47),
    (48, 64),
    (57, 58),
    (87, 116),
    (101, 211),
    (145, 145),
    (30, 29),
    *map(tuple, np.random.RandomState(4).randint(2, 160, (24, 2)).tolist()),
]
WAYS = {
    "four pixels": {},
    "all of it": {"resize_short": 24},
    "averaged": {"antialias": True},
    "averaged by cubics": {"antialias": True, "interpolation": "bicubic"},
    "grey": {"mean": (0.43,), "std": (0.21,)},
}

PREPARE = """
const { grey, planned, resized } = await import("./resize.js");
const { normalised } = await import("./normalise.js");
const results = given.map(({ data, height, width, preprocess }) => {
  const whole = Uint8Array.from(Buffer.from(data, "base64"));
  const plan = planned(width, height, preprocess);
  if (plan === null) return null;
  const { left, top, width: wide, height: high } = plan.region;
  const part = new Uint8Array(wide * high * 4);
  for (let y = 0; y < high; y += 1) {
    for (let x = 0; x < wide; x += 1) {
      for (let c = 0; c < 3; c += 1) part[(y * wide + x) * 4 + c] = whole[((top + y) * width + left + x) * 3 + c];
    }
  }
  const coloured = { data: part, width: wide, height: high, stride: 4, channels: 3 };
  const pixels = resized(preprocess.mean.length === 1 ? grey(coloured) : coloured, plan, preprocess);
  const input = normalised(pixels, preprocess);
  return {
    pixels: Buffer.from(pixels).toString("base64"),
    input: Buffer.from(input.buffer).toString("base64"),
    crop: plan.crop,
  };
});
process.stdout.write(JSON.stringify(results));
"""


def prepared(node, preprocess, pictures):
    return node(
        PREPARE,
        [
            {
                "data": as_base64(picture),
                "height": picture.shape[0],
                "width": picture.shape[1],
                "preprocess": preprocess.to_dict(),
            }
            for picture in pictures
        ],
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_size_is_prepared_as_by_python(node, way):
    preprocess = Preprocess(**{"size": 24, "resize_short": 29} | WAYS[way])
    generator = np.random.RandomState(7)
    pictures = [generator.randint(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    for picture, found in zip(pictures, prepared(node, preprocess, pictures), strict=True):
        expected = preprocess.frame(preprocess.pixels(picture))
        np.testing.assert_array_equal(from_base64(found["pixels"], np.uint8), expected.ravel(), str(picture.shape))
        input_ = preprocess(picture).numpy()
        np.testing.assert_array_equal(from_base64(found["input"], np.float32), input_.ravel(), str(picture.shape))


def test_the_published_preparation_of_a_photograph(node):
    """The extremes of brightness, in the size of the published series."""
    generator = np.random.RandomState(2)
    picture = np.where(generator.rand(300, 411, 3) < 0.5, 0, 255).astype(np.uint8)
    for preprocess in (Preprocess(), Preprocess(antialias=True, interpolation="bicubic")):
        (found,) = prepared(node, preprocess, [picture])
        np.testing.assert_array_equal(from_base64(found["pixels"], np.uint8), preprocess.frame(picture).ravel())


def test_the_crop_is_said_in_pixels_of_the_picture(node):
    (found,) = prepared(node, Preprocess(size=32, resize_short=64), [np.zeros((128, 256, 3), np.uint8)])
    assert found["crop"] == {"left": 96, "top": 32, "width": 64, "height": 64}


def test_what_pillow_is_not_asked_to_resize_is_refused_here_too(node):
    thin = np.zeros((1, 60_000, 3), np.uint8)
    results = prepared(node, Preprocess(size=40, resize_short=40, antialias=True), [thin])
    assert results == [None]
    assert prepared(node, Preprocess(size=40, resize_short=40), [thin]) != [None]
