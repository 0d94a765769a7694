import numpy as np
import pytest
from PIL import Image

from resnexus.data.preprocess import Preprocess
from resnexus.distillation.sketches import Sketching, _shrinking, alike, sketch, windows


def likeness(first, second):
    return alike(windows(sketch(first)), windows(sketch(second)))


def picture(seed=0, size=(80, 100)):
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blocks).resize(size[::-1], Image.Resampling.BICUBIC))


def test_windows_are_means_of_what_they_cover():
    shrink = _shrinking()
    assert shrink.shape == (11, 16, 64)
    np.testing.assert_allclose(shrink.sum(2), 1, rtol=1e-6)
    # The whole: sixteen means of four pixels each.
    assert shrink[0, 0].tolist() == [0.25] * 4 + [0] * 60
    # The first window of 0.95: 60.8 pixels in sixteen parts of 3.8.
    np.testing.assert_allclose(shrink[1, 0][:5], [1 / 3.8, 1 / 3.8, 1 / 3.8, 0.8 / 3.8, 0], atol=1e-6)
    np.testing.assert_allclose(shrink[1, 1][3:8], [0.2 / 3.8, 1 / 3.8, 1 / 3.8, 1 / 3.8, 0.6 / 3.8], atol=1e-6)


def test_a_picture_is_like_itself_whatever_its_brightness():
    pixels = picture()
    assert likeness(pixels, pixels).correlation == pytest.approx(1, abs=1e-5)
    darker = (pixels * 0.6 + 20).astype(np.uint8)
    assert likeness(pixels, darker).correlation > 0.998
    assert not likeness(pixels, darker).mirrored


def test_a_mirror_image_is_told():
    pixels = picture()
    found = likeness(pixels, pixels[:, ::-1])
    assert found.correlation > 0.998
    assert found.mirrored


@pytest.mark.parametrize("place", [(0, 0), (4, 5), (2, 1), (8, 10)])
def test_a_cut_out_is_found_wherever_it_lies(place):
    pixels = picture(1)
    share = 0.9 if place == (8, 10) else 0.95
    top, left = place
    cut = pixels[top : top + round(80 * share), left : left + round(100 * share)]
    for first, second in ((pixels, cut), (cut, pixels)):
        assert likeness(first, second).correlation > 0.98


def test_rims_of_a_disc_are_alike_but_for_their_detail():
    """Edges of one shape, with a texture of four levels each beside them: the texture tells them apart."""
    rows, columns = np.mgrid[:64, :64]
    disc = np.where(np.hypot(rows - 80, columns - 32) < 60, 160.0, 20.0)
    texture = (np.random.default_rng(seed).normal(0, 1, (16, 16)) for seed in (0, 1))
    first, second = (
        np.repeat((disc + 4 * np.kron(one, np.ones((4, 4))))[:, :, None], 3, 2).astype(np.uint8) for one in texture
    )
    found, same = likeness(first, second), likeness(first, (first * 0.8).astype(np.uint8))
    assert found.correlation > 0.98
    assert found.detail < 0.8
    assert min(same.correlation, same.detail) > 0.98


def test_other_pictures_are_not_alike():
    assert max(likeness(picture(0), picture(seed)).correlation for seed in range(1, 8)) < 0.8
    flat = np.full((20, 30, 3), 77, np.uint8)
    assert likeness(flat, flat).correlation == 0


def test_a_sketch_is_made_of_whatever_is_decoded(pool_folder):
    sketching = Sketching(preprocess=Preprocess())
    made = sketching(str(pool_folder / "0.png"))
    assert (made.shape, made.dtype) == ((64, 64), np.uint8)
    assert sketching(str(pool_folder / "7.png")) == "empty"
    assert sketch(np.zeros((1, 1, 3), np.uint8)).shape == (64, 64)
