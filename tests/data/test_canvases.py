import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'resnexus[demo]'")

from resnexus.data import canvases as module
from resnexus.data.canvases import MEAN, SIZE, STD, Canvases, collate_canvases, compose
from resnexus.data.digits import load_digits
from resnexus.data.order import Draw

TRAIN, HELD_OUT = Canvases(0, 50, held_out=False), Canvases(0, 50, held_out=True)
SEEDS = st.integers(0, 2**32)


def test_training_and_held_out_glyphs_are_apart():
    images, labels = load_digits()
    assert len(TRAIN.glyphs) + len(HELD_OUT.glyphs) == len(images)
    assert set(map(bytes, TRAIN.glyphs)).isdisjoint(map(bytes, HELD_OUT.glyphs))
    for part in (TRAIN, HELD_OUT):
        assert set(part.labels) == set(labels)
    assert not np.array_equal(TRAIN[0].pixels, HELD_OUT[0].pixels)


@given(seed=SEEDS)
@settings(max_examples=40)
def test_boxes_masks_and_labels_agree(seed):
    canvas = compose(TRAIN.glyphs, TRAIN.labels, seed)
    assert canvas.pixels.shape == canvas.owner.shape == (SIZE, SIZE)
    assert 1 <= len(canvas.labels) <= 5
    assert set(np.unique(canvas.owner)) == {0, *range(1, len(canvas.labels) + 1)}
    for number, (label, box) in enumerate(zip(canvas.labels, canvas.boxes, strict=True), start=1):
        mine = canvas.owner == number
        assert (canvas.classes[mine] == label + 1).all()
        left, top, right, bottom = box.astype(int)
        assert mine[top:bottom, left:right].sum() == mine.sum()
        for edge in (mine[top, :], mine[bottom - 1, :], mine[:, left], mine[:, right - 1]):
            assert edge.any()
    assert (canvas.classes[canvas.owner == 0] == 0).all()


@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_canvas_is_a_function_of_its_seed(seed):
    first, again = (compose(TRAIN.glyphs, TRAIN.labels, seed, 3) for _ in range(2))
    other = compose(TRAIN.glyphs, TRAIN.labels, seed, 4)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.owner, again.owner)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_the_topmost_digit_owns_the_pixels_and_every_digit_stays_visible(monkeypatch):
    # White squares instead of glyphs: what each would cover alone is known.
    white = np.full((1, 8, 8), 255, dtype=np.uint8)
    monkeypatch.setattr(module, "_place", lambda random, size: (slice(0, size), slice(0, size)))
    monkeypatch.setattr(module, "_DIGITS", (2, 2))
    monkeypatch.setattr(module, "_DIGIT_SIZE", (8, 24))
    sizes = set()
    for seed in range(30):
        canvas = compose(white, np.array([7]), seed)
        areas = np.bincount(canvas.owner.ravel())[1:]
        corner = canvas.owner[0, 0]
        assert corner == len(canvas.labels)  # the last that was laid there
        sides = [box[2] for box in canvas.boxes]
        assert areas[-1] == sides[-1] ** 2
        if len(areas) == 2:
            assert sides[1] < sides[0]
            assert areas[0] == sides[0] ** 2 - sides[1] ** 2 >= 0.75 * sides[0] ** 2
        sizes.add(len(areas))
    assert sizes == {1, 2}


def test_digits_overlap_and_fragments_are_no_digits():
    drawn = [TRAIN[index] for index in range(20)]
    assert any(
        (a[0] < b[2]) & (b[0] < a[2]) & (a[1] < b[3]) & (b[1] < a[3])
        for canvas in drawn
        for number, a in enumerate(canvas.boxes)
        for b in canvas.boxes[number + 1 :]
    )
    # Brighter than the noise, and not the soft edge of a digit: fragments.
    for canvas in drawn:
        near = np.pad(canvas.owner > 0, 3)
        near = np.any([near[y : y + SIZE, x : x + SIZE] for y in range(7) for x in range(7)], axis=0)
        assert canvas.pixels[canvas.owner > 0].min() > 60
        if (canvas.pixels[~near] > 100).any():
            break
    else:
        raise AssertionError("no fragment on any canvas")


def test_epochs_compose_other_canvases():
    assert np.array_equal(TRAIN[Draw(0, 3)].pixels, TRAIN[3].pixels)
    assert not np.array_equal(TRAIN[Draw(1, 3)].pixels, TRAIN[3].pixels)
    assert not np.array_equal(Canvases(1, 50, held_out=False)[3].pixels, TRAIN[3].pixels)
    with pytest.raises(IndexError, match="canvas 50 of 50"):
        TRAIN[50]


def test_batches():
    canvases = [TRAIN[0], TRAIN[1]]
    batch = collate_canvases(canvases).to("cpu")
    assert (batch.images.dtype, batch.labels.dtype, batch.bad) == (torch.float32, torch.int64, ())
    for canvas, image, labels, target in zip(canvases, batch.images, batch.labels, batch.targets, strict=True):
        np.testing.assert_allclose((image[0].numpy() * STD + MEAN) * 255, canvas.pixels, atol=1e-4)
        assert np.array_equal(labels.numpy(), canvas.classes)
        assert np.array_equal(target["boxes"].numpy(), canvas.boxes)
        assert np.array_equal(target["labels"].numpy(), canvas.labels + 1)
