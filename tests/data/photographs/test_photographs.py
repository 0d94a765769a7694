"""Photographs are brought to one size, and what is known of them goes along."""

import numpy as np
import pytest
import torch

from resnexus.data.order import Draw
from resnexus.data.photographs.photographs import VOID, Photograph, Photographs, collate_photographs, framed


def photograph():
    """40 x 80 pixels: a rectangle of class 2 at the left, one of class 1 that is too thin once it is small."""
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    classes = np.zeros((40, 80), dtype=np.uint8)
    pixels[8:24, 4:20], classes[8:24, 4:20] = (200, 100, 50), 3
    return Photograph(
        pixels=pixels,
        classes=classes,
        boxes=np.float32([[4, 8, 20, 24], [60, 0, 61, 40]]),
        labels=np.array([2, 1]),
        crowds=np.array([False, False]),
    )


def test_the_long_side_is_the_size_and_the_rest_is_padded():
    found = framed(photograph(), 40, flip=False)
    assert (found.pixels.shape, found.classes.shape) == ((40, 40, 3), (40, 40))
    assert (found.classes[20:] == VOID).all()
    assert (found.classes[:20] != VOID).all()
    assert found.boxes.tolist() == [[2, 4, 10, 12], [30, 0, 30.5, 20]]
    assert (found.classes[4:12, 2:10] == 3).all()
    assert (found.pixels[6:10, 4:8] == (200, 100, 50)).all()
    assert found.crowds.tolist() == [False, True]  # half a pixel wide
    normalised = collate_photographs([found]).images[0, :, 20:]
    assert normalised.abs().max() < 0.02  # the padding is the mean colour


def test_a_flip_takes_everything_along():
    plain, flipped = (framed(photograph(), 40, flip=flip) for flip in (False, True))
    assert np.array_equal(flipped.pixels[:20], plain.pixels[:20, ::-1])
    assert np.array_equal(flipped.classes[:20], plain.classes[:20, ::-1])
    assert flipped.boxes[0].tolist() == [30, 4, 38, 12]
    upright = photograph()
    tall = Photograph(
        pixels=upright.pixels.transpose(1, 0, 2),
        classes=upright.classes.T,
        boxes=upright.boxes[:, [1, 0, 3, 2]],
        labels=upright.labels,
        crowds=upright.crowds,
    )
    found = framed(tall, 40, flip=True)  # the padding stays at the right
    assert (found.classes[:, 20:] == VOID).all()
    assert found.boxes[0].tolist() == [8, 2, 16, 10]
    assert (found.classes[2:10, 8:16] == 3).all()


class Four(Photographs):
    def __len__(self):
        return 4

    def read(self, index):
        return photograph()


def test_flips_follow_from_seed_and_draw_alone():
    train, val = (Four(("a", "b", "c"), 40, train=train, seed=3) for train in (True, False))

    def lefts(photographs, epoch):
        return [photographs[Draw(epoch=epoch, image=index, repeat=0)].boxes[0][0] for index in range(4)]

    epochs = [lefts(train, epoch) for epoch in range(6)]
    assert epochs == [lefts(train, epoch) for epoch in range(6)]
    assert {left for epoch in epochs for left in epoch} == {2, 30}
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert lefts(val, 0) == lefts(val, 5) == [2, 2, 2, 2]
    with pytest.raises(IndexError, match="photograph 4 of 4"):
        val[4]


def test_a_batch_has_what_both_tasks_take():
    batch = collate_photographs([framed(photograph(), 40, flip=flip) for flip in (False, True)])
    assert batch.images.shape == (2, 3, 40, 40)
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64
    (first, _) = batch.targets
    assert first["labels"].tolist() == [3, 2]
    assert first["iscrowd"].tolist() == [False, True]
    assert first["boxes"].shape == (2, 4)
