import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus.data.batches import BadImage
from resnexus.data.labelled import ImageArrays, ImageFiles
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.evaluation.seen import Originals, SeenImages, content_hash

SMALL = Preprocess(size=8, resize_short=10)
GREY = Preprocess(size=8, resize_short=8, mean=(0.5,), std=(0.25,))


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 256, (12, 15, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no picture")
    return ImageFiles(
        [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")], [0, 1, 1], ("x", "y"), preprocess=SMALL
    )


def test_files_are_seen_as_their_data_set_prepares_them(files):
    seen = SeenImages(Originals(files), files.labels + 3, tuple("abcdef"), SMALL)
    assert torch.equal(seen[0][0], files[0][0])
    assert [seen[0][1], seen[1][1]] == [3, 4]
    assert isinstance(seen[2], BadImage)
    assert seen.missing.tolist() == [False, False, True]
    expected = hashlib.sha256(Path(files.paths[1]).read_bytes()).digest()
    assert seen.sha256[1].numpy().tobytes() == expected


def test_arrays_are_seen_as_files_would_be():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    data = ImageArrays(pixels, np.array([0, 1, 0]), ("x", "y"), preprocess=GREY)
    originals = Originals(data, data)
    seen = SeenImages(originals, originals.labels, data.classes, GREY)
    assert len(seen) == 6
    assert torch.equal(seen[4][0], data[1][0])
    assert (originals.name(4), seen[4][1]) == ("image 4", 1)
    assert seen.sha256[1].equal(seen.sha256[4]) is False  # only what was read has a hash
    seen[1]
    assert seen.sha256[1].equal(seen.sha256[4])


def test_what_the_network_sees_is_corrupted_after_the_crop(files):
    told = []

    def corrupt(pixels, digest):
        told.append((pixels.shape, digest))
        return 255 - pixels

    seen = SeenImages(Originals(files), files.labels, files.classes, SMALL, corrupt)
    mean, std = (torch.tensor(values)[:, None, None] for values in (SMALL.mean, SMALL.std))
    plain = files[0][0] * std + mean
    assert torch.allclose(seen[0][0] * std + mean, 1 - plain, atol=1e-5)
    assert told == [((8, 8, 3), content_hash(files.paths[0]))]


def test_workers_tell_hashes_and_bad_files(files):
    seen = SeenImages(Originals(files), files.labels, files.classes, SMALL)
    loader = torch.utils.data.DataLoader(seen, batch_size=None, num_workers=1)
    assert len(list(loader)) == 3
    assert seen.missing.tolist() == [False, False, True]
    assert seen.sha256[0].numpy().tobytes() == content_hash(files.paths[0])


def test_the_content_is_hashed_wherever_it_lies(files):
    content = Path(files.paths[0]).read_bytes()
    file = io.BytesIO(content)
    file.seek(5)
    assert content_hash(content) == content_hash(file) == content_hash(files.paths[0])
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert content_hash(pixels) == content_hash(Image.fromarray(pixels)) == content_hash(pixels[::-1][::-1])
    with pytest.raises(ResnexusError, match="no such file"):
        content_hash("nowhere.png")


def test_some_of_the_images_are_as_they_were_among_all(files):
    some = Originals(files).only([1, 0])
    assert (len(some), some.labels.tolist()) == (2, [1, 0])
    assert [some.name(0), some.source(1)] == [files.paths[1], files.paths[0]]
    assert len(Originals(files)) == 3
