"""Data sets of the library `datasets`; without it, that it is missed with its name."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus import packages
from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage
from resnexus.data.datasets import open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError

SMALL = Preprocess(size=8, resize_short=8)


def png(seed):
    content = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, "png")
    return content.getvalue()


def test_the_library_is_missed_by_name(monkeypatch, tmp_path):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(packages, "import_module", absent)
    (tmp_path / "dataset_dict.json").touch()
    for data in ("hf:some", tmp_path):
        with pytest.raises(ResnexusError, match=r"datasets is not installed: pip install 'resnexus\[datasets\]'"):
            open_dataset(data, SMALL)


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets", reason="an optional source of images")


@pytest.fixture
def saved(datasets, tmp_path):
    """Write parts of (bytes, label) rows as the library does."""

    def save(*, names=("cat", "dog"), **parts):
        features = datasets.Features(
            {"picture": datasets.Image(), "note": datasets.Value("string"), "kind": datasets.ClassLabel(names=names)}
        )
        tables = {
            part: datasets.Dataset.from_dict(
                {
                    "picture": [
                        content if content is None else {"bytes": content, "path": None} for content, _ in rows
                    ],
                    "note": ["x"] * len(rows),
                    "kind": [label for _, label in rows],
                },
                features=features,
            )
            for part, rows in parts.items()
        }
        datasets.DatasetDict(tables).save_to_disk(tmp_path / "saved")
        return tmp_path / "saved"

    return save


def rows(count, first=0):
    return [(png(first + number), number % 2) for number in range(count)]


def test_parts_are_read_as_the_files_are(saved):
    data = open_dataset(saved(train=rows(4), validation=rows(2, 10), test=rows(2, 20)), SMALL)
    assert (data.name, data.classes, data.split) == ("saved", ("cat", "dog"), "")
    assert (data.train.labels.tolist(), data.val.labels.tolist()) == ([0, 1, 0, 1], [0, 1])
    assert torch.equal(data.train[3][0], SMALL(png(3)))
    assert torch.equal(data.val[1][0], SMALL(png(11)))
    assert data.train.name(3).endswith("/saved train row 3")


def test_a_folder_may_be_named_and_the_test_part_stands_in(saved):
    folder = saved(train=rows(4), test=rows(2, 20))
    data = open_dataset(f"hf:{folder}", SMALL, Augment(), seed=1)
    assert torch.equal(data.val[0][0], SMALL(png(20)))
    assert (data.train.augment, data.val.augment) == (Augment(), None)
    again = open_dataset(folder, SMALL)
    assert fingerprint(again.train) == fingerprint(data.train) != fingerprint(data.val)
    assert torch.equal(pickle.loads(pickle.dumps(data.val))[0][0], data.val[0][0])


def test_data_without_a_part_to_evaluate_on_are_divided(saved):
    folder = saved(train=rows(10))
    data = open_dataset(folder, SMALL)
    assert (len(data.train), len(data.val)) == (8, 2)
    assert data.split.startswith("no part 'validation' in it: 20% of every class")
    assert sorted(data.val.labels.tolist()) == [0, 1]
    assert torch.equal(data.val[0][0], SMALL(png(int(data.val.rows[0]))))
    assert len(open_dataset(folder, SMALL, val_fraction=0.6).val) == 6


def test_bad_images_are_counted_and_named(saved):
    data = open_dataset(saved(train=[(b"text", 0), (png(1), 1), (None, 0)], test=rows(2)), SMALL).train
    assert [isinstance(data[row], BadImage) for row in range(3)] == [True, False, True]
    assert [(bad.path.rpartition("/")[2], bad.reason[:22]) for bad in data.bad_images()] == [
        ("saved train row 0", "not one of JPEG, PNG, "),
        ("saved train row 2", "the row has no image"),
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"training": rows(2)}, "no part 'train', only 'training'"),
        ({"train": [(png(0), 0), (png(1), -1)], "test": rows(2)}, "row 1 has class -1 in column 'kind', and 0 more"),
        ({"train": [(png(0), 0), (png(1), None)], "test": rows(2)}, "row 1 has class nan"),
    ],
)
def test_data_that_cannot_be_used(saved, parts, message):
    with pytest.raises(ResnexusError, match=message):
        open_dataset(saved(**parts), SMALL)


def test_options_columns_and_names_that_cannot_be_used(saved, datasets, tmp_path):
    folder = saved(train=rows(2), test=rows(2))
    with pytest.raises(ResnexusError, match=r"val_fraction=0\.5 has no effect on hf:.*saved: it has a part 'test'"):
        open_dataset(folder, SMALL, val_fraction=0.5)
    with pytest.raises(ResnexusError, match=r"^hf:no/such: datasets cannot load it: "):
        open_dataset("hf:no/such", SMALL)
    datasets.Dataset.from_dict({"x": [1]}).save_to_disk(tmp_path / "plain")
    with pytest.raises(ResnexusError, match=r"has the columns x \(Value\); expected one Image and one ClassLabel"):
        open_dataset(tmp_path / "plain", SMALL)
