"""Decode an image file to RGB, by the same rules for training, evaluation and serving.

- The format is told from the content, never from the name, and must be one of `FORMATS`.
- The EXIF orientation is applied.
- Of an animation or a document of several pages, the first is taken.
- Grey and palette images become RGB. Transparency is dropped and the colours beneath it stay, as OpenCV's decoder does
  for PNG and WebP.
- 16-bit grey is divided by 257, so that white stays white.
- CMYK becomes (255 - C) (255 - K) / 255 and so on, after undoing the inversion that Adobe's JPEGs carry.
- A truncated or damaged file is an error: half a picture is not decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnexus.errors import ResnexusError

Source: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAX_PIXELS = 89_478_485
"""Largest image decoded: 256 MiB of RGB, the size above which Pillow warns of a decompression bomb."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_COLOUR_MODES = ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr")
_ALPHA_MODES = ("LA", "P", "PA", "RGBA", "RGBa")


class ImageError(ResnexusError):
    """An image that cannot be decoded.

    Attributes:
        source: the path, or what was given instead of one.
        reason: what is wrong with it.
        fix: what to do about it.
    """

    def __init__(self, source: str, reason: str, fix: str) -> None:
        super().__init__(source, reason, fix)
        self.source, self.reason, self.fix = source, reason, fix

    def __str__(self) -> str:
        return f"cannot read image {self.source}: {self.reason}; {self.fix}"


def load_image(source: Source) -> Image.Image:
    """Decode an image by the rules above.

    Args:
        source: a path, the bytes of a file, or a seekable binary file, which is read from its beginning and left
            open.

    Returns:
        An image in mode RGB.

    Raises:
        ImageError: the file cannot be read, is not one of `FORMATS`, is damaged, has more than `MAX_PIXELS` pixels,
            or holds pixels that have no defined white, such as floating-point TIFF.
    """
    name = _name(source)
    try:
        with _opened(source) as file:
            return _decode(name, file)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(name, "no such file", "check the path") from error
    except IsADirectoryError as error:
        raise ImageError(name, "it is a folder", "give an image file") from error
    except PermissionError as error:
        raise ImageError(name, "permission denied", "make the file readable") from error
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise ImageError(name, f"not one of {formats}", "remove it or save it in one of these formats") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever the damaged bytes lead them to, from SyntaxError to struct.error.
        raise ImageError(name, f"damaged: {error or type(error).__name__}", "replace the file") from error


def as_rgb(image: Image.Image, name: str = "from memory") -> Image.Image:
    """Convert a decoded image to mode RGB by the rules above; orientation has been dealt with by whoever decoded it.

    Raises:
        ImageError: the mode has no defined white or is not a colour mode of `FORMATS`.
    """
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in _ALPHA_MODES:
        # By way of RGBA, or a palette would be merged with its transparency.
        return image.convert("RGBA").convert("RGB")
    if image.mode in _COLOUR_MODES:
        return image.convert("RGB")
    raise ImageError(name, f"pixels of mode {image.mode!r} have no defined white", "save it with 8 bits per channel")


def _decode(name: str, file: IO[bytes]) -> Image.Image:
    if file.seek(0, os.SEEK_END) == 0:
        raise ImageError(name, "the file is empty", "replace the file")
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name)
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        return as_rgb(image if turn is None else image.transpose(turn), name)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or the EXIF data are damaged."""
    exif = Image.Exif()
    try:
        # Not getexif(): a TIFF has been turned by Pillow already, and other metadata than EXIF do not count.
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION_TAG, 1))
    except (SyntaxError, struct.error, ValueError, TypeError, LookupError, OSError):
        return 1


@contextmanager
def _opened(source: Source) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def _name(source: Source) -> str:
    if isinstance(source, bytes):
        return f"of {len(source)} bytes"
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "from a file object"))


def _too_large(name: str) -> ImageError:
    return ImageError(name, f"more than {MAX_PIXELS:,} pixels", "scale it down")
