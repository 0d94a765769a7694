"""Read images from shards in any order, through their index: every epoch exact, for any number of processes."""

from __future__ import annotations

import os
import re
import resource
import tarfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from resnexus.data.classes import check_classes, numbered_classes
from resnexus.data.folders import natural
from resnexus.data.labelled import Splits, StoredImages, Transforms, evaluating
from resnexus.data.shards.archive import BLOCK, ShardError
from resnexus.data.shards.index import ShardIndex, find_index
from resnexus.data.shards.record import CLASSES, RECORD, ClassNames, Sharding
from resnexus.data.sources import ImageError
from resnexus.data.splitting import VAL_FRACTION, check_fraction, divided, split
from resnexus.errors import ResnexusError, printable
from resnexus.progress import Progress
from resnexus.records import read_json

_PART = re.compile(r"(?:.*[-_.])?(train|val)(?:idation)?(?:[-_.].*)?\.tar")


class OpenFiles:
    """Files that are read at any place: opened when needed, kept open up to a limit, and each thread has its own.

    A process that is forked may go on with what it inherits, since nothing depends on a position in a file; one that
    gets this as a pickle opens its own.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Read up to `size` bytes from `offset` on; fewer where the file ends.

        Raises:
            OSError: the system refuses.
        """
        descriptor = self._opened().get(path)
        parts = list[bytes]()
        while size > 0 and (part := os.pread(descriptor, size, offset)):  # the system may give fewer at a time
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def _opened(self) -> _Descriptors:
        if not hasattr(self._local, "descriptors"):
            self._local.descriptors = _Descriptors()
        return self._local.descriptors

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, _: dict[str, Any]) -> None:
        self._local = threading.local()


class _Descriptors:
    """The descriptors of one thread; the one that was not used for the longest time is closed for another."""

    def __init__(self) -> None:
        self._found: OrderedDict[Path, int] = OrderedDict()
        self._limit = max(8, min(256, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))

    def get(self, path: Path) -> int:
        if path in self._found:
            self._found.move_to_end(path)
        else:
            if len(self._found) >= self._limit:
                os.close(self._found.popitem(last=False)[1])
            self._found[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._found[path]

    def __del__(self) -> None:
        while self._found:
            os.close(self._found.popitem()[1])


class ShardImages(StoredImages):
    """Images in tar shards.

    Args:
        folder: of the shards.
        index: of the images.
        classes: names of the classes.
        transforms: what else `StoredImages` takes.
    """

    def __init__(
        self, folder: Path, index: ShardIndex, classes: tuple[str, ...], **transforms: Unpack[Transforms]
    ) -> None:
        super().__init__(index.labels, classes, **transforms)
        self.folder, self.index = folder, index
        self._files = OpenFiles()

    def name(self, index: int) -> str:
        """Return the path of the shard and the name in it."""
        return os.path.join(self.folder, self.index.place(index).shard.name, self.index.name(index))

    def source(self, index: int) -> bytes:
        """Return the bytes of an image's file.

        Raises:
            ImageError: the shard cannot be read, or what lies there is not what was indexed.
        """
        shard, offset, size, crc32 = self.index.place(index)
        with _named(self.name(index), shard.name):
            found = self._files.read(self.folder / shard.name, offset - BLOCK, BLOCK + size)
            header, content = found[:BLOCK], found[BLOCK:]
            if len(content) < size:
                raise ShardError("the shard ends in it")
            if tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size != size:
                raise ShardError("the shard holds something else there than was indexed")
            if crc32 >= 0 and zlib.crc32(content) != crc32:
                raise ShardError("its bytes are not those that were written")
        return content

    def identity(self, index: int) -> str:
        """Return the name in the shard and the size in bytes: images that are cut into other shards are the same."""
        return f"{self.index.name(index)}\0{self.index.place(index).size}\0"


@contextmanager
def _named(name: str, shard: str) -> Iterator[None]:
    """Turn what goes wrong into the error of the image `name`."""
    fix = f"copy {printable(shard)} again, or remove the index beside it if the shard was changed"
    try:
        yield
    except ShardError as error:
        raise ImageError(printable(name), str(error), fix) from error
    except tarfile.TarError as error:
        raise ImageError(printable(name), "the shard holds something else there than was indexed", fix) from error
    except OSError as error:
        raise ImageError(printable(name), error.strerror or str(error), "make the shard readable") from error


def is_sharded(root: Path) -> bool:
    """Whether a folder holds tar files, and no folders, which may be classes."""
    entries = [entry for entry in os.scandir(root) if not entry.name.startswith(".")]
    return any(entry.name.endswith(".tar") for entry in entries) and not any(entry.is_dir() for entry in entries)


def open_shards(root: Path, transforms: Transforms, val_fraction: float | None, progress: Progress) -> Splits:
    """Open a folder of shards: `train-*.tar` and `val-*.tar`, also with something before; or tar files of other names.

    The latter are divided as folders are. `classes.json` has the names of the classes; without, a class is called by
    its number.

    Raises:
        ShardError: a shard cannot be used.
        ResnexusError: a part is missing, a class is not known or only in one part, or `val_fraction` is no fraction or
            has no effect.
    """
    parts, others = _parts(root)
    shown = printable(root)
    if parts or (root / RECORD).is_file():
        if val_fraction is not None:
            raise ResnexusError(f"val_fraction={val_fraction} has no effect on {shown}: it has val-*.tar; leave it out")
        train, val = (
            find_index(root / f"{part}.index.safetensors", parts.get(part, []), progress) for part in ("train", "val")
        )
        _check_complete(root, train, val)
        sentence = ""
    else:
        fraction = VAL_FRACTION if val_fraction is None else check_fraction(val_fraction)
        whole = find_index(root / "all.index.safetensors", others, progress)
        train, val = (whole.part(images) for images in split(whole.labels, fraction))
        sentence, others = divided(fraction, "train-*.tar and val-*.tar"), []
    for what, index in (("train-*.tar", train), ("val-*.tar", val)):
        if not len(index):
            raise ResnexusError(f"{shown}: no images in {what}; expected images in train-*.tar and val-*.tar")
    names = _classes(root, train)
    for index in (train, val):
        _check_labels(index, names, shown)
    return Splits(
        name=printable(root.resolve().name),
        classes=names,
        train=ShardImages(root, train, names, **transforms),
        val=ShardImages(root, val, names, **evaluating(transforms)),
        preprocess=transforms["preprocess"],
        ignored=tuple(map(os.fspath, others)),
        split=sentence,
    )


def _check_complete(root: Path, train: ShardIndex, val: ShardIndex) -> None:
    """Check that the shards which `write_shards` wrote, or began to write, are all there."""
    if not (root / RECORD).is_file():
        return
    record = read_json(Sharding, root / RECORD)
    if (len(train), len(val)) != (record.train_images, record.val_images):
        raise ResnexusError(
            f"{printable(root)} holds {len(train)} of {record.train_images} images to train and {len(val)} of "
            f"{record.val_images} to evaluate on: its writing was interrupted, or shards are missing; start the same "
            "`resnexus shard` again"
        )


def _parts(root: Path) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the shards of each part, and the other tar files, all in natural order."""
    files = [path for path in root.iterdir() if path.suffix == ".tar" and not path.name.startswith(".")]
    parts, others = dict[str, list[Path]](), list[Path]()
    for path in sorted(filter(Path.is_file, files), key=lambda path: natural(path.name)):
        match = _PART.fullmatch(path.name)
        (parts.setdefault(match[1], []) if match else others).append(path)
    return parts, others


def _classes(root: Path, index: ShardIndex) -> tuple[str, ...]:
    if (root / CLASSES).is_file():
        return check_classes(tuple(map(printable, read_json(ClassNames, root / CLASSES).classes)), printable(root))
    return numbered_classes(np.unique(index.labels).tolist(), printable(root), CLASSES)


def _check_labels(index: ShardIndex, names: tuple[str, ...], shown: str) -> None:
    image = int(np.argmax(index.labels))
    if index.labels[image] >= len(names):
        where = f"{shown}/{printable(index.place(image).shard.name)}/{printable(index.name(image))}"
        raise ResnexusError(f"{where}: class {index.labels[image]} is none from 0 to {len(names) - 1}")
