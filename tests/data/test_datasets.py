import copy
import multiprocessing
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage, Batch, collate
from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import ImageArrays
from resnexus.data.order import Draw
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError

SMALL = Preprocess(size=16, resize_short=18)
SHIFT = Augment(crop_area=None, flip=0, shift=1)


@pytest.fixture
def folder(tmp_path):
    """Two classes of 3 + 2 images, natural order cat2, cat10; each image of its own grey."""
    grey = 10
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cat10", "cat2"):
            where = tmp_path / "animals" / part / name
            where.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (20, 30), (grey, grey, grey)).save(where / f"{number}.png")
                grey += 10
    return tmp_path / "animals"


def grey_of(item):
    """The grey of a uniform image, read from its normalised tensor."""
    image, label = item
    return round(float((image[0, 0, 0] * 0.229 + 0.485) * 255)), label


def test_a_folder(folder):
    data = open_dataset(folder, SMALL)
    assert data.name == "animals"
    assert data.classes == data.train.classes == data.val.classes == ("cat2", "cat10")
    assert data.preprocess == SMALL
    assert [grey_of(data.train[i]) for i in range(6)] == [(40, 0), (50, 0), (60, 0), (10, 1), (20, 1), (30, 1)]
    assert [grey_of(data.val[i]) for i in range(4)] == [(90, 0), (100, 0), (70, 1), (80, 1)]
    assert len(data.train) == 6
    assert data.val.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(data.train[0][0], SMALL(data.train.paths[0]))
    assert open_dataset(str(folder)).preprocess == Preprocess()
    with pytest.raises(IndexError):
        data.train[6]


def test_files_that_are_no_images_are_named(folder):
    (folder / "train/cat2/notes.txt").touch()
    assert open_dataset(folder, SMALL).ignored == (str(folder / "train/cat2/notes.txt"),)


def test_a_relative_folder_has_a_name_too(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert open_dataset(".", SMALL).name == "animals"


def test_neither_folder_nor_name(tmp_path):
    with pytest.raises(
        ResnexusError,
        match=r"data 'digit': no folder with train/ and val/ is there, and "
        r"unknown embedded data set 'digit': did you mean 'digits'\? Accepted: digits\.",
    ):
        open_dataset("digit")
    file = tmp_path / "data.zip"
    file.touch()
    with pytest.raises(ResnexusError, match=r"data.zip': a file, not a folder.*accepted are digits"):
        open_dataset(file)
    with pytest.raises(ResnexusError, match="no class folders in it"):
        open_dataset(tmp_path)


def test_a_folder_that_is_called_as_an_embedded_data_set(folder, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    monkeypatch.chdir(folder.parent)
    folder.rename("digits")
    assert len(open_dataset("digits").classes) == 10
    assert len(open_dataset("./digits").classes) == 2


def test_bad_files_are_items_and_never_stop_a_batch(folder):
    (folder / "val/cat2/0.png").write_bytes(b"text")
    (folder / "val/cat10/1.png").write_bytes(b"")
    data = open_dataset(folder, SMALL).val
    bad = data[0]
    assert isinstance(bad, BadImage)
    assert bad.path == str(folder / "val/cat2/0.png")
    assert bad.reason.startswith("not one of JPEG, PNG")
    batch = collate([data[i] for i in range(4)])
    assert [bad.path[-10:] for bad in batch.bad] == ["cat2/0.png", "at10/1.png"]
    assert batch.labels.tolist() == [0, 1]
    assert torch.equal(batch.images, torch.stack([data[1][0], data[2][0]]))


def test_bad_files_are_items_in_training_too(folder):
    (folder / "train/cat2/0.png").unlink()
    data = open_dataset(folder, SMALL, Augment()).train
    (folder / "train/cat2/1.png").unlink()
    assert data[0] == BadImage(str(folder / "train/cat2/1.png"), "no such file")


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_are_counted_once_over_all_epochs_and_workers(folder, workers):
    (folder / "train/cat2/0.png").write_bytes(b"text")
    (folder / "train/cat10/1.png").unlink()
    (folder / "train/cat10/1.png").symlink_to("gone.png")
    (folder / "train/cat2/1.png").unlink()
    os.mkfifo(folder / "train/cat2/1.png")
    data = open_dataset(folder, SMALL, Augment()).train
    assert data.bad_images() == ()
    context = multiprocessing.get_context("fork") if workers else None
    for number in range(2):
        draws = [Draw(number, image) for image in range(len(data))]
        loader = DataLoader(
            data, 2, sampler=draws, collate_fn=collate, num_workers=workers, multiprocessing_context=context
        )
        met = {bad for batch in loader for bad in batch.bad}
    assert met == set(data.bad_images())
    assert [(os.path.relpath(bad.path, folder / "train"), bad.reason[:30]) for bad in data.bad_images()] == [
        ("cat2/0.png", "not one of JPEG, PNG, WEBP, BM"),
        ("cat2/1.png", "it is a named pipe"),
        ("cat10/1.png", "a link to gone.png, which is m"),
    ]


def test_a_file_that_is_repaired_meanwhile_is_still_counted(folder):
    path = folder / "val/cat2/0.png"
    content = path.read_bytes()
    path.write_bytes(b"")
    data = open_dataset(folder, SMALL).val
    assert data[0] == BadImage(str(path), "the file is empty")
    path.write_bytes(content)
    assert data.bad_images() == (BadImage(str(path), "it could not be read, and now it can"),)


def test_images_in_memory_are_never_bad():
    grey = Preprocess(size=2, resize_short=2, mean=(0,), std=(1,))
    data = ImageArrays(np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, np.int64), ("a",), preprocess=grey)
    assert data.bad_images() == ()


def test_a_folder_of_class_folders_is_split(folder):
    data = open_dataset(folder / "train", SMALL)
    assert data.split.startswith("no train/ and val/ in it: 20% of every class")
    assert (len(data.train), len(data.val)) == (4, 2)
    assert data.val.labels.tolist() == [0, 1]
    assert not set(data.train.paths) & set(data.val.paths)
    assert open_dataset(folder / "train", SMALL, seed=5).val.paths == data.val.paths
    assert len(open_dataset(folder / "train", SMALL, val_fraction=0.6).val) == 4
    assert open_dataset(folder, SMALL).split == ""


def test_names_that_are_not_unicode(folder):
    odd = folder.with_name(os.fsdecode(b"a\xff"))
    folder.rename(odd)
    (odd / "val/cat2/0.png").rename(odd / os.fsdecode(b"val/cat2/0\xff.png"))
    (odd / os.fsdecode(b"val/cat2/0\xff.png")).write_bytes(b"")
    data = open_dataset(odd, SMALL)
    assert data.name == r"a\udcff"
    bad = data.val[0]
    assert os.path.exists(bad.path)
    assert str(bad) == rf"{folder.parent}/a\udcff/val/cat2/0\udcff.png: the file is empty"
    assert grey_of(data.val[1]) == (100, 0)


def test_a_batch_of_bad_files_only():
    batch = collate([BadImage("a", "b")])
    assert batch.images.shape == (0, 0, 0, 0)
    assert batch.labels.shape == (0,)
    assert batch.labels.dtype == torch.int64
    assert batch.bad == (BadImage("a", "b"),)


def test_a_batch_moves_whole():
    batch = collate([(torch.ones(3, 2, 2), 1), BadImage("a", "b")])
    moved = batch.to("meta")
    assert (moved.images.device.type, moved.labels.device.type, moved.bad) == ("meta", "meta", batch.bad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_is_pinned():
    pinned = collate([(torch.ones(3, 2, 2), 1)]).pin_memory()
    assert pinned.images.is_pinned()
    assert pinned.labels.is_pinned()


def epoch(data, number, order=None, **options):
    draws = [Draw(number, image) for image in order or range(len(data))]
    loader = DataLoader(data, batch_size=2, sampler=draws, collate_fn=collate, **options)
    return torch.cat([batch.images for batch in loader])


@pytest.fixture
def busy(folder):
    """The folder with images that show which crop was taken."""
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        noise = np.random.RandomState(number).randint(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return folder


def test_augmentation_depends_on_seed_epoch_and_index_alone(busy):
    data = open_dataset(busy, SMALL, Augment(), seed=3).train
    first = epoch(data, 0)
    assert torch.equal(epoch(data, 0), first)
    assert not torch.equal(epoch(data, 1), first)
    assert torch.equal(epoch(data, 0, order=[5, 4, 3, 2, 1, 0]).flip(0), first)
    assert torch.equal(epoch(open_dataset(busy, SMALL, Augment(), seed=3).train, 0), first)
    assert not torch.equal(epoch(open_dataset(busy, SMALL, Augment(), seed=4).train, 0), first)
    assert torch.equal(data[2][0], data[Draw(0, 2)][0])
    assert not torch.equal(data[Draw(0, 2, 1)][0], data[Draw(0, 2)][0])  # the same image once more in an epoch
    same = copy.copy(data)
    same.paths = (data.paths[0],) * 6
    assert not torch.equal(same[0][0], same[1][0])  # two places in the data set, two draws


def test_validation_is_not_augmented(busy):
    data = open_dataset(busy, SMALL, Augment()).val
    assert torch.equal(epoch(data, 0), epoch(data, 1))
    assert torch.equal(data[0][0], SMALL(data.paths[0]))


def test_workers_draw_as_this_process_does(busy):
    data = open_dataset(busy, SMALL, Augment()).train
    context = multiprocessing.get_context("fork")
    for number in range(2):
        assert torch.equal(epoch(data, number, num_workers=2, multiprocessing_context=context), epoch(data, number))


def test_data_sets_can_be_pickled_and_copied(busy):
    data = open_dataset(busy, SMALL, Augment()).train
    for other in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        assert torch.equal(other[Draw(7, 1)][0], data[Draw(7, 1)][0])
        assert not torch.equal(other[Draw(8, 1)][0], data[Draw(7, 1)][0])


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    return open_dataset("digits", augment=SHIFT, seed=1)


def test_digits(digits):
    assert digits.classes == tuple("0123456789")
    assert (len(digits.train), len(digits.val)) == (1438, 359)
    assert (digits.preprocess.size, digits.preprocess.in_chans) == (8, 1)
    plain = open_dataset("digits").train.images()
    assert plain.shape == (1438, 1, 8, 8)
    assert float(plain.mean()) == pytest.approx(0, abs=3e-4)
    assert float(plain.std(correction=0)) == pytest.approx(1, abs=3e-4)
    image, label = digits.val[0]
    assert label == 3
    pixels = (image[0] * digits.preprocess.std[0] + digits.preprocess.mean[0]) * 255
    assert torch.equal(pixels.round().to(torch.uint8), torch.from_numpy(digits.val.pixels[0, :, :, 0]))
    assert torch.equal(digits.preprocess(digits.val.pixels[0, :, :, 0]), image)


def test_digits_shift_anew_in_every_epoch(digits):
    train = digits.train
    first = epoch(train, 0)
    assert torch.equal(torch.stack([train[i][0] for i in range(1438)]), first)
    assert not torch.equal(epoch(train, 1), first)
    assert torch.equal(epoch(train, 0), first)
    assert torch.equal(epoch(open_dataset("digits", augment=SHIFT, seed=1).train, 0), first)
    assert torch.equal(epoch(pickle.loads(pickle.dumps(train)), 0), first)
    unmoved = (first == open_dataset("digits").train.images()).flatten(1).all(1).double().mean()
    assert 0.08 < float(unmoved) < 0.15  # one of nine shifts is none


def test_options_that_digits_cannot_use():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    with pytest.raises(ResnexusError, match="preprocess has no effect on 'digits': the data set has its own"):
        open_dataset("digits", SMALL)
    with pytest.raises(ResnexusError, match="val_fraction has no effect on 'digits'"):
        open_dataset("digits", val_fraction=0.1)
    with pytest.raises(ResnexusError, match=r"images in memory are only shifted; use Augment\(crop_area=None, flip=0"):
        open_dataset("digits", augment=Augment())
    with pytest.raises(ResnexusError, match=r"crop_area=None, flip=0\.5: images in memory are only shifted"):
        open_dataset("digits", augment=Augment(crop_area=None, shift=1))


def test_labels_of_arrays_are_those_given():
    pixels = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2, 1)
    grey = Preprocess(size=2, resize_short=2, mean=(0,), std=(1,))
    data = ImageArrays(pixels, np.array([2, 0, 1]), ("a", "b", "c"), preprocess=grey)
    assert [data[i][1] for i in range(3)] == [2, 0, 1]
    assert torch.equal(data[1][0], torch.tensor([[[4.0, 5], [6, 7]]]) * (1 / 255))


def test_batches_are_frozen():
    batch = Batch(images=torch.zeros(1, 1, 1, 1), labels=torch.zeros(1, dtype=torch.int64))
    with pytest.raises(AttributeError):
        batch.bad = ()
