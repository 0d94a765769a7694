"""The views of a cache shown again, with what the teacher said of each."""

import weakref

import numpy as np
import pytest
import torch

import resnexus
from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage
from resnexus.data.fingerprint import fingerprint
from resnexus.data.order import Draw
from resnexus.distillation import cache as cache_module
from resnexus.distillation.choosing import chosen
from resnexus.distillation.pictures import Listed, Picture
from resnexus.distillation.replay import ReplayedImages, collate_answered
from resnexus.distillation.score import ScoreSettings, score
from resnexus.training.losses import UNLABELLED
from tests.distillation.pictured import CLASSES, folders, teacher


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    place = folders(tmp_path_factory.mktemp("pictures"))
    path = teacher(place / "teacher.safetensors")
    augment = Augment(crop_area=(0.3, 1.0))
    return score(
        Listed([str(place / "pool")]), str(path), place / "cache", ScoreSettings(views=2, augment=augment)
    ), path


def test_the_answer_is_the_teachers_to_the_very_pixels(scored):
    cache, path = scored
    images = ReplayedImages(cache, range(len(cache)), CLASSES)
    network = resnexus.create_model(resnexus.Architecture(**_row()), pretrained=path).eval()
    for draw in (Draw(0, 1), Draw(1, 1), Draw(2, 4), Draw(0, 4, 1)):
        item = images[draw]
        with torch.no_grad():
            said = network(item.image[None]).softmax(1)[0]
        assert torch.allclose(item.answer, said, atol=1e-5)
        assert item.label == UNLABELLED
    assert torch.equal(images[Draw(0, 1)].image, images[Draw(2, 1)].image)  # two views: the third epoch has the first
    assert torch.equal(images[Draw(0, 4, 1)].image, images[Draw(1, 4)].image)
    assert not torch.equal(images[Draw(0, 1)].image, images[Draw(1, 1)].image)


def _row():
    from dataclasses import asdict

    from tests.distillation.pictured import ROW

    return asdict(ROW)


def test_labels_that_are_known_after_all(scored):
    cache, _ = scored
    images = ReplayedImages(cache, range(len(cache)), CLASSES, {cache.pictures[2].uri: 1})
    assert images.labels.tolist() == [UNLABELLED, UNLABELLED, 1, UNLABELLED, UNLABELLED, UNLABELLED]


def test_a_batch_has_images_labels_and_answers_in_one_order(scored):
    cache, _ = scored
    images = ReplayedImages(cache, range(len(cache)), CLASSES)
    items = [images[0], BadImage("gone.png", "no such file"), images[3]]
    batch = collate_answered(items)
    assert [len(part) for part in (batch.images, batch.labels, batch.answers, batch.bad)] == [2, 2, 2, 1]
    assert torch.equal(batch.answers[1], items[2].answer)
    assert torch.equal(batch.to("cpu").answers, batch.answers)
    assert collate_answered(items[1:2]).answers.shape == (0, 0)
    assert np.allclose(batch.answers.sum(1), 1, atol=1e-6)


def test_a_picture_that_is_gone_is_a_bad_image(scored, tmp_path):
    cache, _ = scored
    images = ReplayedImages(cache, range(len(cache)), CLASSES)
    path = tmp_path / "0.png"
    original = cache.pictures[0].uri
    resnexus.data.sources.Path(original).rename(path)
    try:
        bad = images[0]
    finally:
        path.rename(original)
    assert isinstance(bad, BadImage)
    assert "not_found" in bad.reason or "no such" in bad.reason.lower() or "not found" in bad.reason.lower()


def test_one_picture_is_held_at_a_time_and_few_files_are_open(scored, monkeypatch):
    place = scored[0].folder.parent
    pool, teacher_file = Listed([str(place / "pool")]), str(scored[1])
    score(pool, teacher_file, place / "in-shards", ScoreSettings(views=2, shard_pictures=1))
    monkeypatch.setattr(cache_module, "OPEN", 2)
    cache = cache_module.open_cache(place / "in-shards")
    images = ReplayedImages(cache, chosen(cache.pictures, None, cache.readable()).numbers, CLASSES)
    fingerprint(images)
    alive, made = [], 0

    def counting(self):
        nonlocal made
        alive[:] = [one for one in alive if one() is not None] + [weakref.ref(self)]
        made += 1
        assert len(alive) == 1

    monkeypatch.setattr(Picture, "__post_init__", counting)
    for epoch in range(2):
        for number in (3, 0, 5, 1, 2, 4):
            assert images[Draw(epoch, number)].label == UNLABELLED
    assert made == 12
    assert cache._shard.cache_info().currsize == 2
    # What is the same of all pictures aside, each is a number, a label and whether it could be read.
    held = sum(part.nbytes for part in (images.numbers, images.labels, images._bad))
    assert held == (8 + 8 + 1) * len(images)


def test_two_caches_of_other_pictures_are_told_apart_without_reading_any(scored, monkeypatch):
    cache, _ = scored
    monkeypatch.setattr(Picture, "__post_init__", lambda self: pytest.fail("a picture was read"))
    first, second = (ReplayedImages(cache, numbers, CLASSES) for numbers in ([0, 1, 2], [0, 1, 3]))
    assert fingerprint(first) == fingerprint(ReplayedImages(cache, range(3), CLASSES)) != fingerprint(second)
