"""Write a data set as tar shards: the images as they are, in the order of the data set, and the index of them."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnexus.data.fingerprint import fingerprint
from resnexus.data.images import FORMATS, SUFFIXES
from resnexus.data.labelled import Splits, StoredImages
from resnexus.data.shards.archive import BLOCK, Sample, scan
from resnexus.data.shards.index import Shard, assembled, write_index
from resnexus.data.shards.record import CLASSES, RECORD, ClassNames, Sharding
from resnexus.data.sources import ImageError, opened
from resnexus.errors import ResnexusError, printable
from resnexus.files import check_writable, replacing
from resnexus.progress import Advance, Progress, Silent
from resnexus.records import read_json, write_json


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a folder of shards holds.

    Attributes:
        shards: the tar files, to train on first.
        images: how many to train and to evaluate on.
    """

    shards: tuple[Shard, ...]
    images: tuple[int, int]


def write_shards(
    data: Splits,
    out: Path,
    *,
    shard_bytes: int = 10**9,
    shard_images: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write `train-000000.tar` and so on, `val-000000.tar` and so on, the index of each, and `classes.json`.

    A file in a shard is called by the image's number, and holds its bytes as they are; images that are in memory become
    PNG. Every shard is written whole or not at all: after an interruption, the same call keeps those that are there
    and goes on. A shard is as full as the limits allow, and has one image at least.

    Args:
        data: what `open_dataset` gives.
        out: the folder; it may hold nothing but what an earlier call wrote.
        shard_bytes: largest shard.
        shard_images: most images in a shard; any number if None.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: an image cannot be read (whether it can be decoded is not tried), the folder holds shards of
            other data or cannot be written, or the data have no files.
    """
    for images in (data.train, data.val):
        if not isinstance(images, StoredImages):
            raise ResnexusError(f"{data.name} lies in memory, not in files: there is nothing to write as shards")
    limits = Sharding(
        train=fingerprint(data.train),
        val=fingerprint(data.val),
        train_images=len(data.train),
        val_images=len(data.val),
        shard_bytes=shard_bytes,
        shard_images=shard_images,
    )
    _claim(out, limits)
    write_json(ClassNames(classes=data.classes), out / CLASSES)
    found = list[Shard]()
    for part, images in (("train", data.train), ("val", data.val)):
        with (progress or Silent()).stage(f"writing {part} shards", len(images)) as advance:
            shards = list(_shards(images, out, part, limits, advance))  # type: ignore[arg-type]  # checked above
        write_index(assembled(shards), out / f"{part}.index.safetensors")
        found += [shard for shard, _ in shards]
    return Written(shards=tuple(found), images=(len(data.train), len(data.val)))


def _claim(out: Path, limits: Sharding) -> None:
    """See that a folder is empty or holds what an earlier start with the same data wrote."""
    check_writable(out)
    if (out / RECORD).is_file():
        if read_json(Sharding, out / RECORD) != limits:
            raise ResnexusError(
                f"{printable(out)} holds shards of other images or of another size: give another folder, or remove them"
            )
    elif any(not path.name.startswith(".") for path in out.iterdir()):
        raise ResnexusError(f"{printable(out)} is not empty: give another folder for the shards")
    else:
        write_json(limits, out / RECORD)


def _shards(
    images: StoredImages, out: Path, part: str, limits: Sharding, advance: Advance
) -> Iterator[tuple[Shard, list[Sample]]]:
    """Write the shards that are missing, and yield what each of them holds, as it is read again."""
    start, number = 0, 0
    while start < len(images):
        path = out / f"{part}-{number:06d}.tar"
        if not path.is_file():
            with replacing(path) as temporary:
                _write(images, start, temporary, limits)
        samples = scan(path, checksums=True)
        stop = start + len(samples)
        expected = [(f"{image:09d}", label) for image, label in enumerate(images.labels[start:stop].tolist(), start)]
        if not samples or [(sample.name.partition(".")[0], sample.label) for sample in samples] != expected:
            raise ResnexusError(f"{printable(path)} does not hold image {start} and those after it: remove it")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield Shard(name=path.name, bytes=path.stat().st_size, sha256=digest), samples
        advance(len(samples))
        start, number = stop, number + 1


def _write(images: StoredImages, start: int, path: Path, limits: Sharding) -> None:
    """Write one shard that begins with image `start`."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        size = 0
        for count, image in enumerate(range(start, len(images)), 1):
            content, suffix = _content(images, image)
            label = str(int(images.labels[image])).encode()
            size += 2 * BLOCK + _padded(len(content)) + _padded(len(label))
            if count > 1 and (size > limits.shard_bytes or count > (limits.shard_images or count)):
                return
            for name, data in ((suffix, content), (".cls", label)):
                member = tarfile.TarInfo(f"{image:09d}{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _content(images: StoredImages, image: int) -> tuple[bytes, str]:
    """Return the bytes of an image's file, and the suffix that they get."""
    name = images.name(image)
    try:
        source = images.source(image)
        if isinstance(source, np.ndarray):
            png = io.BytesIO()
            Image.fromarray(source).save(png, "png")
            return png.getvalue(), ".png"
        with opened(source) as file:  # type: ignore[arg-type]  # a path, or the bytes of a file
            content = file.read()
    except ImageError as error:
        raise ResnexusError(f"{error}: every image must be readable to be written") from error
    suffix = os.path.splitext(name)[1].lower()
    return content, suffix if suffix in SUFFIXES else _suffix(content, name)


def _suffix(content: bytes, name: str) -> str:
    """Return the suffix of an image's format, for one whose name does not tell it."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as found:
            return ".jpg" if found.format in ("JPEG", "MPO") else f".{str(found.format).lower()}"
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ResnexusError(
            f"{printable(name)} is not one of {', '.join(FORMATS)}, and its name does not tell what it is: remove it"
        ) from error


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
