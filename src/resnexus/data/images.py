"""Decode an image file to RGB, by the same rules for training, evaluation and serving.

- The format is told from the content, never from the name, and must be one of `FORMATS`.
- The EXIF orientation is applied.
- Of an animation or a document of several pages, the first is taken.
- Grey and palette images become RGB. Transparency is dropped and the colours beneath it stay, as OpenCV's decoder does
  for PNG and WebP.
- 16-bit grey is divided by 257, so that white stays white.
- CMYK becomes (255 - C) (255 - K) / 255 and so on, after undoing the inversion that Adobe's JPEGs carry.
- A truncated or damaged file is an error: half a picture is not decoded.
- What takes too much memory or time is refused before it is decoded: see `MAX_BYTES`, `MAX_PIXELS`, `MAX_SIDE` and
  `MAX_SCANS`.
- What the decoders say about a file is part of its error, and is printed nowhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from resnexus.data import jpeg
from resnexus.data.diagnostics import Remarks, hear_libtiff, listening
from resnexus.data.error_codes import ErrorCode
from resnexus.data.sources import ImageError, Source, name_of, opened
from resnexus.errors import ResnexusError, printable

Array = np.ndarray[Any, np.dtype[Any]]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
MAX_BYTES = 2**30
"""Largest file read: half as much again as the largest image takes with four channels of 16 bits."""
MAX_PIXELS = 89_478_485
"""Largest image decoded: 256 MiB of RGB, the size above which Pillow warns of a decompression bomb."""
MAX_SIDE = 65_535
"""Longest side decoded, which is the longest that a JPEG can have: Pillow keeps a pointer for every row."""
MAX_SCANS = 100
"""Scans of a JPEG decoded, libtiff's limit; fewer if they would go over more than 16 `MAX_PIXELS` in all."""

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


def load_image(source: Source) -> Image.Image:
    """Decode an image by the rules above.

    Args:
        source: a path, the bytes of a file, or a seekable binary file, which is read from its beginning and left
            open.

    Returns:
        An image in mode RGB.

    Raises:
        ImageError: the file cannot be read, is no regular file, is not one of `FORMATS`, is damaged, exceeds one of
            the limits above or the memory, or holds pixels that have no defined white, such as floating-point TIFF.
        ResnexusError: the source is of another type.
    """
    return Image.fromarray(load_pixels(source))


def load_pixels(source: Source) -> Array:
    """Decode an image as `load_image` does, to (H, W, 3) uint8, which may be read-only; the same errors."""
    name = name_of(source)
    with listening() as remarks, opened(source) as file:
        try:
            with enough_memory(name):
                pixels = _decode(name, file)
        except ResnexusError:
            raise
        except UnidentifiedImageError as error:
            formats = ", ".join(FORMATS)
            reason = f"not one of {formats}{_words(remarks.warnings)}"
            fix = "remove it or save it in one of these formats"
            raise ImageError(name, reason, fix, ErrorCode.UNKNOWN_FORMAT) from error
        except Image.DecompressionBombError as error:
            raise _too_large(name) from error
        except Exception as error:
            # Pillow's decoders raise whatever the damaged bytes lead them to, from SyntaxError to struct.error.
            raise _damaged(name, printable(error) or type(error).__name__, remarks) from error
    if remarks.errors:
        raise _damaged(name, "libtiff met errors", remarks)
    return pixels


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
    reason = f"pixels of mode {image.mode!r} have no defined white"
    raise ImageError(name, reason, "save it with 8 bits per channel", ErrorCode.UNSUPPORTED_PIXELS)


@contextmanager
def enough_memory(name: str) -> Iterator[None]:
    """Turn a lack of memory, in PyTorch too, into the error of the image `name`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise ImageError(name, "there is not enough memory for it", "scale it down", ErrorCode.OUT_OF_MEMORY) from error


def _decode(name: str, file: IO[bytes]) -> Array:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise ImageError(name, "the file is empty", "replace the file", ErrorCode.EMPTY)
    if size > MAX_BYTES:
        reason = f"a file of {size:,} bytes, more than {MAX_BYTES:,}"
        raise ImageError(name, reason, "scale it down or compress it", ErrorCode.TOO_LARGE)
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name)
        if max(image.size) > MAX_SIDE:
            reason = f"a side of more than {MAX_SIDE:,} pixels"
            raise ImageError(name, reason, "scale it down or cut it", ErrorCode.TOO_LARGE)
        turn = _UPRIGHT.get(_orientation(image))
        if image.format in ("JPEG", "MPO"):
            content = _checked_jpeg(name, file, image)
            pixels = jpeg.decode(content) if turn is None and image.mode == "RGB" else None
            if pixels is not None:
                return pixels
        elif isinstance(image, TiffImageFile):
            # A tile may be larger than the image; libtiff makes room for a whole one.
            if image.tag_v2.get(TILEWIDTH, 0) * image.tag_v2.get(TILELENGTH, 0) > MAX_PIXELS:
                reason = f"tiles of more than {MAX_PIXELS:,} pixels"
                raise ImageError(name, reason, "save it in smaller tiles", ErrorCode.TOO_LARGE)
            hear_libtiff()
        image.load()
        return np.asarray(as_rgb(image if turn is None else image.transpose(turn), name))


def _checked_jpeg(name: str, file: IO[bytes], image: Image.Image) -> bytes:
    """Return what is in the file, if decoding it takes no longer than the image is worth."""
    file.seek(0)
    content = file.read()
    # Decoders work on blocks of up to 16 x 16, so that a long line costs as much as a stripe.
    padded = -(-image.width // 16) * -(-image.height // 16) * 256
    limit = min(MAX_SCANS, 16 * MAX_PIXELS // padded)
    if jpeg.has_more_scans(content, limit):
        reason = f"a JPEG of this size with more than {limit} scans"
        raise ImageError(name, reason, "save it anew", ErrorCode.TOO_LARGE)
    return content


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or the EXIF data are damaged."""
    exif = Image.Exif()
    try:
        # Not getexif(): a TIFF has been turned by Pillow already, and other metadata than EXIF do not count.
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION_TAG, 1))
    except (SyntaxError, struct.error, ValueError, TypeError, LookupError, OSError):
        return 1


def _damaged(name: str, reason: str, remarks: Remarks) -> ImageError:
    return ImageError(name, f"damaged: {reason}{_words(remarks.errors or remarks.warnings)}", "replace the file")


def _words(messages: list[str]) -> str:
    return f" ({'; '.join(map(printable, messages))})" if messages else ""


def _too_large(name: str) -> ImageError:
    return ImageError(name, f"more than {MAX_PIXELS:,} pixels", "scale it down", ErrorCode.TOO_LARGE)
