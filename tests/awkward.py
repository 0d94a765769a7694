"""The one set of pictures that decoders disagree on, as files, and what becomes of each here and in a browser."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms

HEIGHT, WIDTH = 61, 97
EXACT, CLOSE = "exact", "close"


@dataclass(frozen=True)
class Picture:
    """A file, and what becomes of it.

    Attributes:
        content: its bytes.
        error: the code with which it is refused; None if it is answered.
        page: in a browser `EXACT`, the same pixels; `CLOSE`, the same within a shade; or the code with which it is
            refused.
    """

    content: bytes
    error: str | None
    page: str


def _pixels(height=HEIGHT, width=WIDTH, seed=0):
    """Smooth shapes with an edge and some noise, so that JPEG has something to do and an orientation shows."""
    y, x = np.mgrid[0:height, 0:width]
    shades = np.stack([x * 255 / max(1, width - 1), y * 255 / max(1, height - 1), 128 + 60 * np.sin(x / 5)], 2)
    shades[: height // 3, : width // 2] = (200, 30, 60)
    noise = np.random.RandomState(seed).randint(-12, 13, (height, width, 3))
    return np.clip(shades + noise, 0, 255).astype(np.uint8)


def _file(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _picture():
    return Image.fromarray(_pixels())


def _transparent():
    alpha = np.random.RandomState(3).randint(0, 256, (HEIGHT, WIDTH), np.uint8)
    alpha[:20] = 0  # colours that nobody sees
    return Image.fromarray(np.dstack([_pixels(), alpha]))


def _exchanging():
    """A colour profile that exchanges red and green: whoever applies it shows another picture."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def _with_header(png, width, height):
    """A PNG that says it is of another size; nothing behind its header is looked at before that."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def _lossless():
    picture = _picture()
    frames = [Image.fromarray(_pixels(seed=seed)).quantize(32) for seed in (0, 1)]
    return {
        "plain.png": _file(picture, "PNG"),
        "grey.png": _file(picture.convert("L"), "PNG"),
        "palette.png": _file(picture.quantize(24), "PNG"),
        "bits.png": _file(picture.convert("1"), "PNG"),
        "transparent.png": _file(_transparent(), "PNG"),
        "grey with alpha.png": _file(_transparent().convert("LA"), "PNG"),
        "palette with a hole.png": _file(picture.quantize(16), "PNG", transparency=3),
        "transparent.webp": _file(_transparent(), "WEBP", lossless=True, exact=True),
        "plain.webp": _file(picture, "WEBP", lossless=True),
        "plain.bmp": _file(picture, "BMP"),
        "plain.gif": _file(picture.quantize(32), "GIF"),
        "animated.gif": _file(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "point.png": _file(Image.fromarray(_pixels(1, 1)), "PNG"),
        "wide.png": _file(Image.fromarray(_pixels(3, 3000)), "PNG"),
        "high.png": _file(Image.fromarray(_pixels(5000, 1)), "PNG"),
        "bitmap called.png": _file(picture, "BMP"),
        "managed.png": _file(picture, "PNG", icc_profile=_exchanging()),
    }


def _lossy():
    """Lossy or rounded ones: decoders may differ by a little."""
    picture = _picture()
    deep = (np.asarray(picture.convert("L")).astype(np.uint16) << 8) + 77
    files = {
        "plain.jpg": _file(picture, "JPEG", quality=90),
        "grey.jpg": _file(picture.convert("L"), "JPEG"),
        "progressive.jpg": _file(picture, "JPEG", progressive=True),
        "fine.jpg": _file(picture, "JPEG", subsampling=0),
        "managed.jpg": _file(picture, "JPEG", quality=90, icc_profile=_exchanging()),
        "deep.png": _file(Image.fromarray(deep), "PNG"),
        "lossy.webp": _file(picture, "WEBP"),
        "plain.avif": _file(picture, "AVIF", quality=90),
        "turned.png": _file(picture, "PNG", exif=_turned(6)),
        "upright.webp": _file(picture, "WEBP", quality=95, exif=_turned(1)),
    }
    for orientation in range(2, 9):
        files[f"turned {orientation}.jpg"] = _file(picture, "JPEG", quality=90, exif=_turned(orientation))
    return files


def _not_for_browsers():
    """What is read here and refused by a page: {name: (content, code)}."""
    picture = _picture()
    return {
        "plain.tif": (_file(picture, "TIFF"), "unsupported_pixels"),
        "turned.webp": (_file(picture, "WEBP", exif=_turned(6)), "unsupported_pixels"),
        "print.jpg": (_file(picture.convert("CMYK"), "JPEG"), "unsupported_pixels"),
        "no end.png": (_file(picture, "PNG")[:-20], "damaged"),  # all pixels are there
    }


def _refused():
    """What has no answer anywhere: {name: (content, code)}."""
    picture = _picture()
    jpeg, png = _file(picture, "JPEG"), _file(picture, "PNG")
    flipped = bytearray(png)
    flipped[len(flipped) // 2] ^= 255
    return {
        "nothing.jpg": (b"", "empty"),
        "page.jpg": (b"<!DOCTYPE html><title>404</title>", "unknown_format"),
        "cut.jpg": (jpeg[: len(jpeg) * 2 // 3], "damaged"),
        "half.png": (png[: len(png) // 2], "damaged"),
        "head.jpg": (jpeg[:4], "unknown_format"),
        "flipped.png": (bytes(flipped), "damaged"),
        "huge.png": (_file(Image.new("1", (12_000, 9_000)), "PNG"), "too_large"),
        "huge.jpg": (_file(Image.new("L", (12_000, 9_000)), "JPEG", quality=1), "too_large"),
        "bomb.png": (_with_header(png, 60_000, 60_000), "too_large"),
        "long.png": (_with_header(png, 70_000, 1), "too_large"),
        "float.tif": (_file(Image.fromarray(_pixels()[..., 0].astype(np.float32)), "TIFF"), "unsupported_pixels"),
    }


@cache
def pictures() -> dict[str, Picture]:
    """All of them, by the name of the file."""
    found = {name: Picture(content, None, EXACT) for name, content in _lossless().items()}
    found |= {name: Picture(content, None, CLOSE) for name, content in _lossy().items()}
    found |= {name: Picture(content, None, code) for name, (content, code) in _not_for_browsers().items()}
    return found | {name: Picture(content, code, code) for name, (content, code) in _refused().items()}


def named(page) -> list[str]:
    """The names of those that become `page` in a browser."""
    return [name for name, picture in pictures().items() if picture.page == page]


def refused_by_pages() -> list[str]:
    """The names of those that a page does not answer."""
    return [name for name, picture in pictures().items() if picture.page not in (EXACT, CLOSE)]


def write(folder) -> dict[str, str | None]:
    """Write all of them, and return the error code of each file by its name."""
    for name, picture in pictures().items():
        (folder / name).write_bytes(picture.content)
    return {name: pictures()[name].error for name in sorted(pictures())}
