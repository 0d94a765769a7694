"""Perceptual hashes: what copies of a picture share, however they were saved.

A hash has 64 bits: the signs, against their median, of the 8 x 8 slowest cosines of the picture shrunk to 32 x 32 grey
pixels (ImageHash's `phash`). A cropped copy differs from the whole, so that each picture is hashed three times: whole,
and the middle of it that is left when 5 % and 10 % are cut off each side length; and the pictures to compare with once
more mirrored. The distance of two pictures is the least of all their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnexus.data.error_codes import ErrorCode
from resnexus.distillation.cache import Cache
from resnexus.distillation.pictures import Picture
from resnexus.files import replacing
from resnexus.packages import required
from resnexus.prediction.decoders import Decoder
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.inputs import Wanted
from resnexus.progress import Advance, Progress

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 8
"""Of a hash, in bits."""
SHARES = (1.0, 0.95, 0.9)
"""Of each side length that is hashed, in the middle."""


@dataclass(frozen=True, kw_only=True)
class Hashing(Decoding):
    """How a picture becomes its hashes: (3, 8) uint8, or (6, 8) with those of its mirror image.

    Attributes:
        mirrored: whether the mirror image is hashed, too.
    """

    mirrored: bool = False

    def made(self, source: Wanted) -> Array:
        """Return the hashes of a picture."""
        pixels = self.pixels(source)
        turned = (pixels, pixels[:, ::-1]) if self.mirrored else (pixels,)
        return np.stack([perceptual_hash(_middle(turn, share)) for turn in turned for share in SHARES])


def perceptual_hash(pixels: Array) -> Array:
    """Return the hash of a picture, 64 bits as (8,) uint8.

    Args:
        pixels: (H, W, 3) uint8.

    Raises:
        MissingPackageError: imagehash is not installed.
    """
    bits = required("imagehash").phash(Image.fromarray(np.ascontiguousarray(pixels)), hash_size=SIDE).hash
    return np.packbits(bits)


def hashed(
    pictures: Sequence[Picture], decoder: Decoder, hashes: int, advance: Advance | None = None
) -> tuple[Array, Array]:
    """Return the hashes of pictures.

    Args:
        pictures: one that has an error is not tried.
        decoder: of a `Hashing`.
        hashes: of each.
        advance: told of every picture that was tried.

    Returns:
        (n, hashes, 8) uint8, and which of them could be read, (n,) bool.
    """
    found, good = np.zeros((len(pictures), hashes, SIDE), np.uint8), np.zeros(len(pictures), bool)
    calls = ((row, picture.source) for row, picture in enumerate(pictures) if picture.error is None)
    for row, made in decoder.decoded(calls):
        if not isinstance(made, ErrorCode):
            found[row], good[row] = made, True
        if advance is not None:
            advance()
    return found, good


def pool_hashes(cache: Cache, decoder: Decoder, progress: Progress) -> tuple[Array, Array]:
    """Return the hashes of all pictures of a cache, as `hashed` does; kept in the cache, so that a second call reads.

    Args:
        cache: of the pool; gets `hashes-00000.safetensors` and so on.
        decoder: of a `Hashing`, not mirrored.
        progress: where to report.
    """
    record = cache.record
    parts = []
    with progress.stage("hashing the pool", record.pictures) as advance:
        for shard in range(record.shards):
            rows = record.rows(shard)
            part = _kept(cache.folder / _name(shard), len(rows))
            if part is None:
                part = hashed(cache.pictures[rows.start : rows.stop], decoder, len(SHARES))
                _keep(part, cache.folder / _name(shard))
            parts.append(part)
            advance(len(rows))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _middle(pixels: Array, share: float) -> Array:
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return pixels[top : height - top, left : width - left]


def _name(shard: int) -> str:
    return f"hashes-{shard:05d}.safetensors"


def _kept(path: Path, rows: int) -> tuple[Array, Array] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        content = load_file(path)
        hashes, good = content["hashes"], content["good"]
    except (OSError, SafetensorError, KeyError):  # none, or one of another version: hashes are computed anew
        return None
    return (hashes, good) if hashes.shape == (rows, len(SHARES), SIDE) and good.shape == (rows,) else None


def _keep(part: tuple[Array, Array], path: Path) -> None:
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({"hashes": part[0], "good": part[1]}, temporary)
