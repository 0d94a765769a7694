import io
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnexus.data import jpeg
from resnexus.data.images import load_pixels
from resnexus.data.jpeg import count_scans, decode, has_more_scans
from resnexus.data.sources import ImageError


def encode(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def noise(height, width, seed=0):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8))


def test_scans_are_counted():
    picture = noise(40, 60)
    plain, progressive = encode(picture), encode(picture, progressive=True)
    assert (count_scans(plain), count_scans(progressive)) == (1, 10)
    assert count_scans(encode(picture.convert("L"), progressive=True)) == 6
    assert count_scans(encode(picture, restart_marker_blocks=1)) == 1
    assert (has_more_scans(progressive, 9), has_more_scans(progressive, 10)) == (True, False)


def test_scans_of_thumbnails_and_of_what_follows_do_not_count():
    plain = encode(noise(40, 60))
    segment = b"\xff\xda" * 200
    commented = plain[:2] + b"\xff\xfe" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert count_scans(commented) == count_scans(commented + segment) == 1
    assert not has_more_scans(commented, 1)
    assert load_pixels(commented).shape == (40, 60, 3)


def test_filled_and_broken_markers():
    plain = encode(noise(40, 60))
    assert count_scans(plain.replace(b"\xff\xda", b"\xff\xff\xff\xda")) == 1
    assert count_scans(plain[:2] + b"rubbish\x01" + plain[2:]) == 1
    assert count_scans(b"") == count_scans(b"\xff\xd8\xff") == 0


options = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "subsampling": st.integers(0, 2),
        "progressive": st.booleans(),
        "optimize": st.booleans(),
        "restart_marker_blocks": st.integers(0, 3),
        "keep_rgb": st.booleans(),
    }
)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**31 - 1), options)
def test_both_decoders_give_the_same_pixels(height, width, seed, options):
    pytest.importorskip("simplejpeg", reason="the faster decoder: pip install 'resnexus[images]'")
    if options["keep_rgb"]:
        options["subsampling"] = 0
    data = encode(noise(height, width, seed), **options)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_get_the_same_answer_from_both(data):
    pytest.importorskip("simplejpeg", reason="the faster decoder: pip install 'resnexus[images]'")
    content = bytearray(encode(noise(33, 47), progressive=data.draw(st.booleans()), quality=60))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])

    def answer():
        try:
            return load_pixels(content)
        except ImageError as error:
            return error.reason

    both = answer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "_simplejpeg", lambda: None)
        alone = answer()
    np.testing.assert_array_equal(both, alone)


class Stub:
    """A decoder that is off by one."""

    @staticmethod
    def decode_jpeg(content, colorspace, strict=False):
        return np.asarray(Image.open(io.BytesIO(content))) ^ 1


@pytest.fixture
def _afresh():
    jpeg._simplejpeg.cache_clear()
    yield
    jpeg._simplejpeg.cache_clear()


@pytest.mark.parametrize("module", [None, Stub])
@pytest.mark.usefixtures("_afresh")
def test_without_an_equal_decoder_pillow_decodes(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", module)
    data = encode(noise(33, 47))
    assert decode(data) is None
    np.testing.assert_array_equal(load_pixels(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.usefixtures("_afresh")
def test_an_equal_decoder_is_used(monkeypatch):
    class Equal:
        @staticmethod
        def decode_jpeg(content, colorspace, strict=False):
            assert colorspace == "RGB"
            return np.asarray(Image.open(io.BytesIO(content)))

    monkeypatch.setitem(sys.modules, "simplejpeg", Equal)
    data = encode(noise(33, 47))
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))
