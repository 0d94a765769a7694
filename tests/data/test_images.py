import contextlib
import io
import pickle
import struct
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from resnexus.data import images
from resnexus.data.images import FORMATS, MAX_BYTES, MAX_PIXELS, MAX_SCANS, MAX_SIDE, as_rgb, load_image
from resnexus.data.jpeg import count_scans
from resnexus.data.sources import ImageError
from resnexus.errors import ResnexusError

HEIGHT, WIDTH = 30, 42


@pytest.fixture(scope="module")
def picture():
    noise = np.random.RandomState(0).randint(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opencv(data):
    """What the original decodes: OpenCV's colour image, in RGB order."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def assert_as_opencv(data, tolerance=0):
    image = load_image(data)
    assert image.mode == "RGB"
    expected = opencv(data)
    assert np.asarray(image).shape == expected.shape
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_decodes_as_opencv(picture, kind):
    assert_as_opencv(encode(picture, kind))


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}])
def test_every_kind_of_jpeg_decodes_as_opencv(picture, options):
    assert_as_opencv(encode(picture, "JPEG", **options))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_as_opencv(picture, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, kind, exif=exif)
    assert load_image(data).size == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    assert_as_opencv(data)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_of_tiff_is_applied_once(picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.rot90(np.asarray(picture), {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    np.testing.assert_array_equal(np.asarray(load_image(encode(picture, "TIFF", exif=exif))), turned)


def test_damaged_exif_does_not_spoil_the_picture(picture):
    data = encode(picture, "JPEG")
    for exif in (b"Exif\0\0", b"Exif\0\0gar", b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0garbage that is no header"):
        damaged = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
        np.testing.assert_array_equal(np.asarray(load_image(damaged)), np.asarray(load_image(data)))


def test_grey_and_black_and_white(picture):
    for mode in ("L", "1"):
        assert_as_opencv(encode(picture.convert(mode), "PNG"))
    assert_as_opencv(encode(picture.convert("L"), "JPEG"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind):
    wide = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    data = encode(Image.fromarray(wide), kind)
    decoded = np.asarray(load_image(data))
    np.testing.assert_array_equal(decoded, np.rint(wide / 257).astype(np.uint8)[:, :, None].repeat(3, axis=2))
    assert decoded.min() == 0
    assert decoded.max() == 255
    assert_as_opencv(data, tolerance=1)  # OpenCV drops the low byte instead of rounding


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour(channels):
    wide = np.random.RandomState(1).randint(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    assert_as_opencv(cv2.imencode(".png", wide)[1].tobytes())


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    """Pillow writes CMYK JPEGs inverted with Adobe's marker, as Photoshop does."""
    ink = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [0, 100, 0, 51]]])
    ink = ink.astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    data = encode(Image.fromarray(ink, "CMYK"), kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    assert kind == "TIFF" or b"Adobe" in data
    colours = np.asarray(load_image(data))[8, 8::16].astype(int)
    # white, cyan, magenta, yellow, black, and 255 x (1 - 51/255) with magenta taking (1 - 100/255) of it
    expected = [[255, 255, 255], [0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0], [204, 124, 204]]
    assert np.abs(colours - expected).max() <= 2
    assert_as_opencv(data, tolerance=2)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_dropped_and_the_colours_beneath_stay(picture, kind):
    translucent = picture.copy()
    translucent.putalpha(Image.fromarray(np.arange(HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)))
    data = encode(translucent, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(np.asarray(load_image(data)), np.asarray(picture))
    assert_as_opencv(data)


def test_grey_with_alpha(picture):
    grey = picture.convert("LA")
    grey.putalpha(7)
    data = encode(grey, "PNG")
    np.testing.assert_array_equal(np.asarray(load_image(data))[:, :, 1], np.asarray(picture.convert("L")))
    assert_as_opencv(data)


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 100, 200])])
def test_palette(picture, transparency):
    palette = picture.quantize(64)
    options = {} if transparency is None else {"transparency": transparency}
    data = encode(palette, "PNG", **options)
    np.testing.assert_array_equal(np.asarray(load_image(data)), np.asarray(palette.convert("RGB")))
    assert_as_opencv(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(picture, kind):
    first = picture.quantize(64) if kind == "GIF" else picture
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(first, kind, save_all=True, append_images=[first.rotate(180)] * 2, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames > 1
    np.testing.assert_array_equal(np.asarray(load_image(data)), np.asarray(first.convert("RGB")))
    assert_as_opencv(data)


def test_a_phone_picture_of_several_images(picture):
    data = encode(picture, "MPO", save_all=True, append_images=[picture.rotate(180)])
    assert_as_opencv(data)


def test_every_kind_of_source(picture, tmp_path):
    data = encode(picture, "PNG")
    path = tmp_path / "misnamed.jpg"
    path.write_bytes(data)
    with path.open("rb") as file:
        images = [load_image(source) for source in (data, path, str(path), file)]
        assert not file.closed
    assert all(image.tobytes() == picture.tobytes() for image in images)
    stream = io.BytesIO(data)
    stream.read()
    assert load_image(stream).tobytes() == picture.tobytes()


def test_missing_empty_and_unreadable_sources(tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for source, reason in (
        (tmp_path / "none.jpg", "no such file; check the path"),
        (tmp_path, "it is a folder"),
        (empty, "the file is empty; replace the file"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            load_image(source)
        assert caught.value.source == str(source)
        assert caught.value.reason in str(caught.value)
        assert str(source) in str(caught.value)
    with pytest.raises(ImageError, match="of 0 bytes: the file is empty"):
        load_image(b"")


def test_text_named_jpg(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    with pytest.raises(
        ImageError, match=r"notes.jpg: not one of JPEG, PNG, WEBP, BMP, GIF, TIFF, AVIF; remove it or save it"
    ):
        load_image(path)


@pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO"])
def test_other_formats_are_refused(picture, kind):
    with pytest.raises(ImageError, match="not one of JPEG"):
        load_image(encode(picture, kind))


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files_are_refused(picture, kind):
    data = encode(picture.resize((300, 200)), kind)
    with pytest.raises(ImageError, match=r"damaged|not one of"):
        load_image(data[: len(data) // 2])
    with pytest.raises(ImageError, match="damaged: image file is truncated"):
        load_image(encode(picture.resize((300, 200)), "JPEG")[:-100])


def test_damage_that_is_no_os_error_is_refused_too():
    """The second part of the data of a PNG has lost its name, which Pillow calls a SyntaxError."""
    noise = np.random.RandomState(0).randint(0, 256, (200, 200, 3), dtype=np.uint8)
    first, second, *rest = encode(Image.fromarray(noise), "PNG").split(b"IDAT")
    with pytest.raises(ImageError, match="damaged: broken PNG file") as caught:
        load_image(first + b"IDAT" + second + b"\x04?+\x95" + b"IDAT".join(rest))
    assert isinstance(caught.value.__cause__, SyntaxError)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_defined_white_are_refused(mode):
    with pytest.raises(ImageError, match=f"pixels of mode '{mode}' have no defined white; save it with 8 bits"):
        load_image(encode(Image.new(mode, (4, 4)), "TIFF"))
    with pytest.raises(ImageError, match="cannot read image from memory: pixels of mode 'HSV'"):
        as_rgb(Image.new("HSV", (4, 4)))


def bomb(width, height):
    """A PNG of a few bytes that declares width x height pixels."""

    def chunk(kind, content):
        import zlib

        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"x\x9c") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(MAX_PIXELS + 1, 1), (10_000, 10_000), (60_000, 60_000)])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_bombs_are_refused_before_they_are_decoded(size, action):
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match="more than 89,478,485 pixels; scale it down"):
            load_image(bomb(*size))


@pytest.mark.parametrize("size", [(MAX_PIXELS, 1), (1, MAX_PIXELS), (MAX_SIDE + 1, 1)])
def test_lines_are_refused_before_they_are_decoded(size):
    """Pillow keeps a pointer for every row: turned, the first of these would take 2.9 GB."""
    with pytest.raises(ImageError, match="a side of more than 65,535 pixels; scale it down or cut it"):
        load_image(bomb(*size))


@pytest.mark.parametrize("size", [(MAX_SIDE, MAX_PIXELS // MAX_SIDE), (1, MAX_SIDE)])
def test_the_limits_themselves_are_allowed(size):
    with pytest.raises(ImageError, match="damaged"):  # not "too large": it goes on to decode
        load_image(bomb(*size))


def test_large_files_are_refused_before_they_are_read(tmp_path):
    """A file of holes: 1 GiB and a byte that take no room."""
    path = tmp_path / "a.tif"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(
        ImageError, match=r"a\.tif: a file of 1,073,741,825 bytes, more than 1,073,741,824; scale it down"
    ):
        load_image(path)


def tiled(side):
    """A grey TIFF of 64 x 64 in one deflated tile of side x side, most of which is missing."""
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 134, 325: 60}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4 + 60)


def test_tiles_are_refused_before_they_are_decoded():
    """200 bytes for which libtiff would take 2 GB."""
    with pytest.raises(ImageError, match="tiles of more than 89,478,485 pixels; save it in smaller tiles"):
        load_image(tiled(46_336))
    with pytest.raises(ImageError, match="damaged: decoder error"):
        load_image(tiled(128))


@pytest.mark.parametrize("function", ["load", "transpose", "convert"])
def test_a_lack_of_memory_is_the_error_of_the_image(picture, function, monkeypatch):
    def fail(*args):
        raise MemoryError

    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture.quantize(8), "PNG", exif=exif)
    monkeypatch.setattr(Image.Image if function != "load" else ImageFile.ImageFile, function, fail)
    with pytest.raises(ImageError, match="bytes: there is not enough memory for it; scale it down"):
        load_image(data)


def scans(count, size, mode="L"):
    """A progressive JPEG that repeats its last scan until there are `count`."""
    data = encode(Image.new(mode, size, 99 if mode == "L" else (99, 9, 200)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - count_scans(data)) + data[-2:]


def test_jpegs_of_many_scans_are_refused_before_they_are_decoded():
    assert load_image(scans(MAX_SCANS, (64, 48))).getpixel((5, 5)) == (99, 99, 99)
    with pytest.raises(ImageError, match="a JPEG of this size with more than 100 scans; save it anew"):
        load_image(scans(MAX_SCANS + 1, (64, 48)))
    with pytest.raises(ImageError, match="with more than 100 scans"):
        load_image(scans(4 * MAX_SCANS, (64, 48), "RGB"))


def test_fewer_scans_are_allowed_of_large_images(monkeypatch):
    """The limit is one of scans times pixels in blocks of 16 x 16; here of an image that is refused at full size."""
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 48)
    assert load_image(scans(16, (64, 48))).size == (64, 48)
    with pytest.raises(ImageError, match="with more than 16 scans"):
        load_image(scans(17, (64, 48)))
    with pytest.raises(ImageError, match="with more than 12 scans"):  # 3 x 5 blocks for 4 x 3
        load_image(scans(17, (33, 65)))


def damaged_tiff(compression):
    noise = np.random.RandomState(0).randint(0, 256, (60, 60, 3), dtype=np.uint8)
    data = bytearray(encode(Image.fromarray(noise), "TIFF", compression=compression))
    data[200 : len(data) // 2 : 7] = bytes(byte ^ 0x55 for byte in data[200 : len(data) // 2 : 7])
    return bytes(data)


@pytest.mark.parametrize(
    ("compression", "words"),
    [
        ("tiff_lzw", r"damaged: decoder error -2 \(.*Using code not yet in table"),
        ("tiff_adobe_deflate", r"damaged: decoder error -2 \(ZIPDecode: Decoding error at scanline 0, incorrect"),
        # Pillow returns this one, half of it black.
        ("jpeg", r"damaged: libtiff met errors \(JPEGLib: Unsupported marker type 0x55"),
    ],
)
def test_what_libtiff_says_is_in_the_error_and_nowhere_else(compression, words, capfd):
    with pytest.raises(ImageError, match=words):
        load_image(damaged_tiff(compression))
    assert capfd.readouterr() == ("", "")


def test_what_pillow_warns_of_is_in_the_error_and_nowhere_else(picture, recwarn):
    """A TIFF ends with its directory; here that ends before its first entry."""
    data = encode(picture, "TIFF", compression="tiff_lzw")
    place = int.from_bytes(data[4:8], "little")
    with pytest.raises(ImageError, match=r"AVIF \(Corrupt EXIF data\. .*but only got 0\.\); remove it"):
        load_image(data[: place + 2])
    assert not recwarn.list


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "it is empty", "replace it")))
    assert isinstance(error, ResnexusError)
    assert (error.source, error.reason, error.fix) == ("a.jpg", "it is empty", "replace it")
    assert str(error) == "cannot read image a.jpg: it is empty; replace it"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_files_decode_or_are_refused(data):
    """No file brings any other exception, whatever its bytes."""
    kind = data.draw(st.sampled_from(FORMATS))
    bytes_ = bytearray(encode(Image.linear_gradient("L").resize((20, 20)).convert("RGB"), kind))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(bytes_) - 1), st.integers(0, 255)), max_size=8)
    ):
        bytes_[place] = value
    bytes_ = bytes_[: data.draw(st.integers(0, len(bytes_)))] if data.draw(st.booleans()) else bytes_
    with contextlib.suppress(ImageError):
        assert load_image(bytes(bytes_)).mode == "RGB"
