import hashlib
import pickle

import numpy as np
import pytest
import torch
import torchvision

from resnexus.data.augment import Augment
from resnexus.data.datasets import open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError

SMALL = Preprocess(size=32, resize_short=32)
LABELS = {"cifar10": ("labels", "label_names", 10), "cifar100": ("fine_labels", "fine_label_names", 100)}


@pytest.fixture(params=LABELS)
def cifar(request, tmp_path, monkeypatch):
    """CIFAR's own files with 4 pictures each; torchvision is told their digests."""
    key, names, count = LABELS[request.param]
    reader = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[request.param]
    folder = tmp_path / reader.base_folder
    folder.mkdir()
    random = np.random.default_rng(0)

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def part(files):
        pixels = [random.integers(0, 256, (4, 3072), dtype=np.uint8) for _ in files]
        return pixels, [
            [name, write(name, {"data": found, key: list(range(4))})]
            for (name, _), found in zip(files, pixels, strict=True)
        ]

    pixels, train = part(reader.train_list)
    test_pixels, test = part(reader.test_list)
    meta = reader.meta | {"md5": write(reader.meta["filename"], {names: [f"class {n}" for n in range(count)]})}
    for name, value in (("train_list", train), ("test_list", test), ("meta", meta)):
        monkeypatch.setattr(reader, name, value)
    return request.param, tmp_path, np.concatenate(pixels), np.concatenate(test_pixels), folder


def test_pictures_and_classes(cifar):
    kind, root, pixels, test_pixels, _ = cifar
    data = open_dataset(f"{kind}:{root}", SMALL)
    assert data.name == kind
    assert data.classes == tuple(f"class {n}" for n in range(LABELS[kind][2]))
    assert (len(data.train), len(data.val)) == (len(pixels), 4)
    assert data.train.labels.tolist() == [0, 1, 2, 3] * (len(pixels) // 4)
    for images, expected in ((data.train, pixels), (data.val, test_pixels)):
        # CIFAR keeps three planes; the preparation of a picture of its own size changes no pixel.
        picture = expected[-1].reshape(3, 32, 32)
        mean, std = (torch.tensor(values)[:, None, None] for values in (SMALL.mean, SMALL.std))
        assert torch.allclose(images[len(images) - 1][0], (torch.from_numpy(picture) / 255 - mean) / std, atol=1e-6)


def test_pictures_are_augmented_and_told_apart(cifar):
    kind, root, *_ = cifar
    plain, data = open_dataset(f"{kind}:{root}", SMALL), open_dataset(f"{kind}:{root}", SMALL, Augment(), seed=1)
    assert not torch.equal(plain.train[0][0], data.train[0][0])
    assert torch.equal(plain.val[0][0], data.val[0][0])
    assert fingerprint(plain.train) == fingerprint(data.train) != fingerprint(plain.val)


def test_damaged_and_missing_files_are_not_read(cifar, tmp_path, monkeypatch):
    kind, root, _, _, folder = cifar
    file = folder / torchvision.datasets.CIFAR10.test_list[0][0] if kind == "cifar10" else folder / "test"
    file.write_bytes(file.read_bytes() + b"x")
    message = (
        rf"{kind}:.*: there is no {folder.name}/ with the files of {kind}, or one is damaged; unpack cifar-.*--down"
    )
    with pytest.raises(ResnexusError, match=message):
        open_dataset(f"{kind}:{root}", SMALL)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("read before it was checked"))
    with pytest.raises(ResnexusError, match=message):
        open_dataset(f"{kind}:{root}", SMALL)


def test_it_is_fetched_only_when_asked(tmp_path, monkeypatch):
    asked = []

    def fetch(self):
        asked.append(self.root)
        raise RuntimeError("the server is gone")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fetch)
    with pytest.raises(ResnexusError, match="there is no cifar-10-batches-py/"):
        open_dataset(f"cifar10:{tmp_path}", SMALL)
    assert asked == []
    with pytest.raises(ResnexusError, match=r"cannot fetch cifar10 to .*: the server is gone"):
        open_dataset(f"cifar10:{tmp_path}", SMALL, download=True)
    assert len(asked) == 1


@pytest.mark.parametrize("data", ["digits", "hf:some", "."])
def test_nothing_else_is_fetched(data):
    with pytest.raises(ResnexusError, match=rf"download has no effect on {data}: only CIFAR is fetched"):
        open_dataset(data, download=True)
