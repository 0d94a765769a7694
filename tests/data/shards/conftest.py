"""A small data set as folders and as shards."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from resnexus.data.datasets import open_dataset
from resnexus.data.preprocess import Preprocess
from resnexus.data.shards.writing import write_shards

SMALL = Preprocess(size=16, resize_short=16)


def jpeg(seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "jpeg")
    return content.getvalue()


@pytest.fixture(scope="session")
def small():
    return SMALL


@pytest.fixture(scope="session")
def tar():
    """Write a tar file of (name, content) pairs, in a format of `tarfile`'s."""

    def write(path, *files, form=tarfile.USTAR_FORMAT):
        with tarfile.open(path, "w", format=form) as archive:
            for name, content in files:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return write


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """2 classes, 4 + 3 pictures to train and 2 + 2 to evaluate on."""
    root = tmp_path_factory.mktemp("pictures")
    seed = 0
    for part, counts in (("train", {"cat": 4, "dog": 3}), ("val", {"cat": 2, "dog": 2})):
        for name, count in counts.items():
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                seed += 1
                (root / part / name / f"{number}.jpg").write_bytes(jpeg(seed))
    return root


@pytest.fixture
def sharded(folders, tmp_path):
    """The same in shards of three."""
    out = tmp_path / "shards"
    write_shards(open_dataset(folders), out, shard_images=3)
    return out
