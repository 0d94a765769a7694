"""Which images, which labels, and what has to be assumed."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from resnexus import ResnexusError
from resnexus.assessment.counting import images_part, network_part, notes_part
from resnexus.assessment.images import open_questions
from resnexus.assessment.settings import AssessmentSettings
from resnexus.evaluation.predictions import Predictions
from resnexus.series.checkpoints import checkpoints
from resnexus.series.imagenet import imagenet_classes
from resnexus.series.imagenet_sets import imagenet_wnids, label
from resnexus.subject import Subject, open_subject
from tests.assessment.conftest import CLASSES, PREPROCESS

PLAIN = AssessmentSettings()


def folders(root, *names, count=2):
    for name in names:
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (4, 4), (index, 0, 0)).save(root / name / f"{index}.png")
    return root


@pytest.fixture
def subject(weights):
    return open_subject(weights)


@pytest.fixture
def published(network) -> Subject:
    """What a published network says of itself; its last layer is never asked."""
    checkpoint = checkpoints()["SE_ResNet18_vd"]
    return Subject(
        name="SE_ResNet18_vd",
        architecture="SE_ResNet18_vd",
        network=network,
        weights_sha256="0" * 64,
        classes=imagenet_classes(),
        preprocess=PREPROCESS,
        published=checkpoint,
    )


def test_folders_of_some_classes_in_another_order(subject, tmp_path):
    found = open_questions(folders(tmp_path, "blue", "red"), subject, AssessmentSettings(part="all"))
    assert sorted(found.labels.tolist()) == [0, 0, 2, 2]
    assert found.classes == CLASSES
    names = [found.originals.name(place) for place in range(4)]
    assert all((CLASSES[label] in name) for name, label in zip(names, found.labels.tolist(), strict=True))
    assert found.notes == ()


def test_a_class_that_the_network_lacks(subject, tmp_path):
    with pytest.raises(ResnexusError, match="1 of 2 class folders are no classes of this network, the first is 'pink'"):
        open_questions(folders(tmp_path, "blue", "pink"), subject, PLAIN)


def test_a_file_that_names_no_classes(subject, tmp_path):
    nameless = replace(subject, classes=None, preprocess=None)
    found = open_questions(folders(tmp_path / "a", "x", "y", "z"), nameless, PLAIN)
    assert found.classes == ("x", "y", "z")
    assert found.notes == (
        "The file says nothing of preprocessing: that of the published series was taken.",
        "The file names no classes: its outputs were taken for the class folders in their order.",
    )
    with pytest.raises(ResnexusError, match="names no classes: it has 3 outputs, and the images are of 2 classes"):
        open_questions(folders(tmp_path / "b", "x", "y"), nameless, PLAIN)


def test_images_of_other_channels(subject, tmp_path):
    grey = replace(subject, preprocess=replace(PREPROCESS, mean=(0.5,), std=(0.2,)))
    with pytest.raises(ResnexusError, match="takes images of 3 channels, and the preprocessing gives 1"):
        open_questions(folders(tmp_path, *CLASSES), grey, PLAIN)


def test_a_size_of_ones_own_keeps_the_share_of_the_crop(subject, tmp_path):
    found = open_questions(folders(tmp_path, *CLASSES), subject, AssessmentSettings(image_size=32))
    assert (found.preprocess.size, found.preprocess.resize_short) == (32, 36)


def test_known_sets_and_published_weights_are_evaluated_whole(published, tmp_path):
    some = imagenet_wnids()[:3]
    found = open_questions(folders(tmp_path / "wnids", *some, count=5), published, PLAIN)
    assert (len(found.originals), found.labelling.naming.name, found.part) == (15, "wnid", "every image")
    own = replace(published, published=None)
    assert len(open_questions(tmp_path / "wnids", own, PLAIN).originals) == 3


def test_numbers_are_outputs(published, tmp_path):
    found = open_questions(folders(tmp_path, "3", "10", "999"), published, PLAIN)
    assert found.labelling.naming.name == "imagenet-v2"
    assert sorted(set(found.labels.tolist())) == [3, 10, 999]
    assert len(found.originals) == 6


def predictions(labels, competing=range(1000)):
    return Predictions(
        logits=torch.zeros(len(labels), 1000),
        labels=torch.tensor(labels),
        competing=torch.tensor(list(competing)),
        files=tuple(map(str, range(len(labels)))),
        sha256=("0" * 64,) * len(labels),
        classes=imagenet_classes(),
    )


def test_published_figures_stand_only_beside_imagenets_own_images(published, tmp_path):
    questions = open_questions(folders(tmp_path, *imagenet_wnids()[:2]), published, PLAIN)
    part = network_part(published, questions)
    assert (part.published, part.published_top1, part.published_top5) == ("SE_ResNet18_vd", None, None)
    whole = replace(questions, labelling=label(imagenet_wnids(), imagenet_classes()))
    part = network_part(published, whole)
    figures = checkpoints()["SE_ResNet18_vd"].published
    assert (part.published_top1, part.published_top5) == (figures.top1, figures.top5)
    assert list(notes_part(published, whole, predictions([0, 1]))) == [
        "The published accuracies are of 50,000 validation images, and these are 2.",
        "1,000 classes compete, and 2 of them have images.",
    ]
    own = replace(published, published=None)
    assert network_part(own, whole).published_top1 is None
    sketches = replace(questions, labelling=label(imagenet_wnids(), imagenet_classes(), "imagenet-sketch"))
    assert network_part(published, sketches).published_top1 is None


def test_what_is_said_of_the_images(published, tmp_path):
    questions = open_questions(folders(tmp_path, *imagenet_wnids()[:2]), published, PLAIN)
    found = predictions([0, 1, 1])
    part = images_part(questions, found, ())
    assert (part.count, part.classes, part.competing, part.sha256) == (3, 2, 1000, found.images_sha256)
