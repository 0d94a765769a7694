import io
import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnexus.data import preprocess
from resnexus.data.augment import Augment
from resnexus.data.preprocess import Preprocess
from resnexus.data.sources import ImageError
from resnexus.errors import ResnexusError
from resnexus.records import from_json

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(height, width, channels=3, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, channels), dtype=np.uint8)


def original(pixels, size=224, resize_short=256):
    """The published evaluation transform up to the normalisation, with real OpenCV."""
    height, width = pixels.shape[:2]
    percent = float(resize_short) / min(width, height)
    resized = cv2.resize(pixels, (round(width * percent), round(height * percent)), interpolation=cv2.INTER_LINEAR)
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size].reshape(size, size, -1)


sides = st.integers(1, 160)


@settings(max_examples=100, deadline=None)
@given(sides, sides, sides, sides, st.integers(0, 2**31 - 1))
def test_resize_equals_opencv_bit_for_bit(height, width, new_height, new_width, seed):
    pixels = noise(height, width, seed=seed)
    expected = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    side = min(new_height, new_width)
    top, left = (new_height - side) // 2, new_width - side
    found = Preprocess(size=side, resize_short=side).resize(pixels, (new_height, new_width), (top, left))
    np.testing.assert_array_equal(found, expected[top : top + side, left : left + side])


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 700), st.integers(2, 700), st.integers(1, 64), st.integers(0, 30))
def test_frame_equals_the_original(height, width, size, margin):
    pixels = noise(height, width)
    found = Preprocess(size=size, resize_short=size + margin).frame(pixels)
    np.testing.assert_array_equal(found, original(pixels, size, size + margin))


@pytest.mark.parametrize(
    "shape", [(375, 500), (500, 333), (224, 224), (100, 77), (256, 256), (512, 1024), (1200, 1600)]
)
def test_the_published_transform(shape):
    pixels = noise(*shape)
    framed = original(pixels)
    np.testing.assert_array_equal(Preprocess().frame(pixels), framed)
    mean, std = np.float32(MEAN), np.float32(STD)
    expected = ((framed.astype("float32") * np.float32(1 / 255) - mean) / std).transpose(2, 0, 1)
    found = Preprocess()(pixels)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_that_of_pytorch_bit_for_bit(channels):
    """On mirrored images and in batches too, which lie in memory otherwise."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(channels, axis=3)
    record = Preprocess(mean=MEAN[:channels], std=STD[:channels])
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (record.mean, record.std))
    for pixels in (levels, levels[:, ::-1, ::-1], levels.repeat(3, axis=0)):
        x = torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float().mul_(1 / 255).sub_(mean).div_(std)
        found = record.normalise(pixels)
        assert torch.equal(found, x)
        assert found.is_contiguous()
        assert torch.equal(record.normalise(pixels[0]), x[0])


@pytest.mark.parametrize("size", range(1, 9))
def test_small_sizes(size):
    """With the published ratio of the short side to the crop; a network takes any size from 1 pixel on."""
    pixels = noise(33, 47)
    record = Preprocess(size=size, resize_short=round(size * 256 / 224))
    np.testing.assert_array_equal(record.frame(pixels), original(pixels, record.size, record.resize_short))
    assert record(pixels).shape == (3, size, size)


def test_antialias_would_be_seen():
    """The transforms of the original and of Pillow differ by far more than rounding."""
    pixels = noise(375, 500)
    plain, smooth = Preprocess().frame(pixels), Preprocess(antialias=True).frame(pixels)
    assert np.abs(plain.astype(int) - smooth).max() > 50


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (50, 70)])
@pytest.mark.parametrize("channels", [1, 3])
def test_antialias_equals_pillow(interpolation, shape, channels):
    pixels = noise(*shape, channels)
    image = Image.fromarray(pixels.squeeze())
    scale = 256 / min(shape)
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    whole = np.asarray(image.resize((width, height), Image.Resampling[interpolation.upper()])).reshape(
        height, width, channels
    )
    top, left = (height - 224) // 2, (width - 224) // 2
    expected = whole[top : top + 224, left : left + 224]
    found = Preprocess(antialias=True, interpolation=interpolation).frame(pixels)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 10_000), (10_000, 1), (1, 1), (2, 80_000)])
def test_absurd_aspects_cost_no_more(shape):
    """Resized whole, the longest of these would be 256 x 10,240,000 pixels."""
    found = Preprocess().frame(np.full((*shape, 3), 77, np.uint8))
    assert found.shape == (224, 224, 3)
    assert (found == 77).all()


def test_the_middle_of_an_absurd_image_is_taken():
    pixels = np.zeros((1, 10_001, 3), np.uint8)
    pixels[:, 5000] = 200
    distance = np.abs(np.arange(224) - 111.5)
    expected = np.broadcast_to((200 * (1 - distance / 256))[:, None], (224, 224, 3))
    np.testing.assert_allclose(Preprocess().frame(pixels), expected, rtol=0, atol=1)


def test_absurd_aspects_are_refused_with_antialias():
    with pytest.raises(ImageError, match="resized it would have 256 x 2,560,000 pixels; crop it"):
        Preprocess(antialias=True)(np.zeros((1, 10_000, 3), np.uint8))
    assert Preprocess(antialias=True)(np.zeros((1, 100, 3), np.uint8)).shape == (3, 224, 224)


def test_channel_order_is_rgb():
    red = Preprocess()(Image.new("RGB", (300, 300), (255, 0, 0)))
    expected = [(value - mean) / std for value, mean, std in zip((1, 0, 0), MEAN, STD, strict=True)]
    np.testing.assert_allclose(red[:, 0, 0], expected, rtol=1e-6)
    assert (red == red[:, :1, :1]).all()


def test_all_kinds_of_image_give_the_same(tmp_path):
    pixels = noise(40, 50)
    image = Image.fromarray(pixels)
    path = tmp_path / "a.png"
    image.save(path)
    expected = Preprocess(size=32, resize_short=36)(pixels)
    with path.open("rb") as file:
        for source in (image, path, str(path), path.read_bytes(), file, image.convert("RGBA")):
            assert torch.equal(Preprocess(size=32, resize_short=36)(source), expected)


def test_grey_images():
    grey = Preprocess(size=8, resize_short=8, mean=(0.5,), std=(0.25,))
    assert grey.in_chans == 1
    pixels = noise(8, 8, 1)
    expected = (torch.from_numpy(pixels[None, :, :, 0]) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(grey(pixels[:, :, 0]), expected, rtol=1e-6, atol=1e-6)
    luma = np.rint(noise(8, 8) @ [0.299, 0.587, 0.114])
    assert np.abs(grey.pixels(noise(8, 8))[:, :, 0] - luma).max() <= 1
    colour = Preprocess(size=8, resize_short=8).pixels(pixels[:, :, 0])
    np.testing.assert_array_equal(colour, pixels.repeat(3, axis=2))


def test_many_images_are_normalised_at_once():
    pixels = noise(8 * 5, 8).reshape(5, 8, 8, 3)
    together = Preprocess().normalise(pixels)
    assert torch.equal(together, torch.stack([Preprocess().normalise(image) for image in pixels]))


def test_the_default_dtype_does_not_matter():
    expected = Preprocess()(noise(300, 300))
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Preprocess()(noise(300, 300)), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ResnexusError, match=r"image of shape \(.*\) and dtype .*: expected uint8, \(H, W, 3\) for RGB"):
        Preprocess()(image)


def test_a_tensor_is_told_what_to_give():
    pixels = noise(33, 47)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    with pytest.raises(
        ResnexusError, match=r"type Tensor and shape \(3, 33, 47\).*give tensor.permute\(1, 2, 0\).numpy\(\)"
    ):
        Preprocess()(tensor)
    assert torch.equal(Preprocess()(tensor.permute(1, 2, 0).numpy()), Preprocess()(pixels))
    with pytest.raises(ResnexusError, match="image of type int: expected a path, the bytes of a file or a seekable"):
        Preprocess()(3)


@pytest.mark.parametrize("error", [MemoryError, lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory")])
@pytest.mark.parametrize(
    "transform", [Preprocess(), lambda image: Augment()(image, Preprocess(), np.random.default_rng(0))]
)
def test_a_lack_of_memory_is_the_error_of_the_image(tmp_path, transform, error, monkeypatch):
    def fail(*args):
        raise error()

    path = tmp_path / "a.png"
    Image.fromarray(noise(33, 47)).save(path)
    monkeypatch.setattr(preprocess, "linear", fail)
    with pytest.raises(ImageError, match=r"a\.png: there is not enough memory for it; scale it down"):
        transform(path)
    with pytest.raises(ImageError, match="image from memory: there is not enough memory"):
        transform(noise(33, 47))


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def fail(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(preprocess, "linear", fail)
    with pytest.raises(RuntimeError, match="something else"):
        Preprocess()(noise(33, 47))


def test_a_bad_file_is_named(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.jpg: not one of"):
        Preprocess()(path)
    with pytest.raises(ImageError, match="from memory: pixels of mode 'F'"):
        Preprocess()(Image.new("F", (4, 4)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size=0: expected a whole number of pixels from 1 to 4096"),
        ({"size": 224.0}, r"size=224\.0"),
        ({"size": True}, "size=True"),
        ({"resize_short": 5000}, "resize_short=5000"),
        ({"resize_short": 223}, "resize_short=223 is less than size=224: the crop must fit"),
        ({"interpolation": "billinear"}, "unknown interpolation 'billinear': did you mean 'bilinear'"),
        ({"interpolation": "bicubic"}, "interpolation='bicubic' is offered with antialias=True only"),
        ({"antialias": 1}, "antialias=1: expected True or False"),
        ({"mean": 0.5}, "mean=0.5: expected numbers, one per channel"),
        ({"mean": ("a", 1, 2)}, "mean=.*expected numbers"),
        ({"mean": (0.5, 0.5)}, "give three numbers each, or one for grey images"),
        ({"mean": (0.5,)}, "give three numbers each"),
        ({"std": (0.2, 0.2, 0)}, "std=.*expected positive numbers"),
        ({"std": (0.2, 0.2, float("nan"))}, "std=.*expected finite numbers"),
    ],
)
def test_values_are_checked_on_creation(values, message):
    with pytest.raises(ResnexusError, match=message):
        Preprocess(**values)


@pytest.mark.parametrize(
    "record",
    [
        Preprocess(),
        Preprocess(size=8, resize_short=9, mean=(0.1 + 0.2,), std=(1 / 3,)),
        Preprocess(antialias=True, interpolation="bicubic"),
    ],
)
def test_json_round_trip(record):
    text = json.dumps(record.to_dict())
    found = from_json(Preprocess, text, "text")
    assert found == record
    assert hash(found) == hash(record)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300))
def test_the_short_side_becomes_resize_short(height, width, resize_short):
    """Floating point cannot push the short side off by one, so the crop always fits."""
    scale = resize_short / min(height, width)
    assert round(min(height, width) * scale) == resize_short
    longer = Fraction(max(height, width) * resize_short, min(height, width))
    assert abs(round(max(height, width) * scale) - longer) <= Fraction(1, 2) + Fraction(1, 10**9)


def test_exif_orientation_reaches_the_network(tmp_path):
    pixels = noise(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    assert torch.equal(Preprocess()(file.getvalue()), Preprocess()(np.rot90(pixels, 3).copy()))
