"""A network of ImageNet's classes on folders laid out as ImageNet's relatives are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import resnexus
from resnexus.assessment.assess import assess
from resnexus.assessment.passes import Passes
from resnexus.assessment.settings import AssessmentSettings
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.series.imagenet import imagenet_classes
from resnexus.series.imagenet_sets import imagenet_wnids, subset
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

WNIDS = imagenet_wnids()


@pytest.fixture(scope="module")
def weights(random_network, tmp_path_factory):
    row = resnexus.Architecture(
        name="thousand", block="basic", depths=(1,), width=8, out_width=8, stem="small", stem_width=8
    )
    path = tmp_path_factory.mktemp("weights") / "thousand.safetensors"
    record = CheckpointRecord(
        architecture=row, classes=imagenet_classes(), preprocess=Preprocess(size=8, resize_short=8)
    )
    write_checkpoint(random_network(row, num_classes=1000).float().state_dict(), path, record)
    return path


def pictures(root, folders, names):
    random = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for name in names(folder):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / folder / name)
    return root


def test_of_imagenet_r_its_200_classes_compete(weights, tmp_path):
    kept = list(subset("imagenet-r"))
    pictures(tmp_path, [WNIDS[number] for number in kept], lambda _: ("art_0.png", "art_1.png"))
    found = assess(weights, tmp_path)
    images, logits = found.record.images, found.predictions.logits
    assert (images.labels, images.count, images.classes, images.competing) == ("imagenet-r", 400, 200, 200)
    assert images.part == "every image"
    answers = torch.tensor(kept)[logits[:, kept].argmax(1)]
    assert found.record.top1.right == int((answers == found.predictions.labels).sum())
    assert {found.predictions.files[0][:9]} <= set(WNIDS)
    assert len(found.record.classes) == 200


def test_real_labels_count_what_is_in_the_picture(weights, tmp_path, monkeypatch):
    numbers = {WNIDS[3]: (1, 4), WNIDS[700]: (2, 3)}
    root = pictures(
        tmp_path / "val",
        numbers,
        lambda folder: (f"ILSVRC2012_val_{number:08}.png" for number in numbers[folder]),
    )
    whole = AssessmentSettings(part="all")
    plain = assess(weights, root, settings=whole).predictions
    answers = dict(zip(plain.files, plain.logits.argmax(1).tolist(), strict=True))
    by_number = [next(answer for name, answer in answers.items() if f"{number:08}" in name) for number in range(1, 5)]
    # Of four pictures the first two have what the network sees among their classes, the third none at all.
    labels = [[5, by_number[0]], [by_number[1]], [], [(by_number[3] + 1) % 1000]]
    (tmp_path / "real.json").write_text(json.dumps(labels))
    found = assess(weights, root, settings=AssessmentSettings(part="all", real=tmp_path / "real.json")).record
    assert (found.real.right, found.real.images) == (2, 3)
    assert (found.images.labels, found.images.competing) == ("wnid", 1000)
    assert found.notes == ("1,000 classes compete, and 2 of them have images.",)
    (tmp_path / "real.json").write_text(json.dumps(labels[:3]))
    monkeypatch.setattr(Passes, "run", lambda *_: pytest.fail("it was told after the pass"))
    with pytest.raises(
        ResnexusError, match=r"_00000004\.png: the ReaL labels are for files .* to ILSVRC2012_val_00000003"
    ):
        assess(weights, root, settings=AssessmentSettings(part="all", real=tmp_path / "real.json"))
