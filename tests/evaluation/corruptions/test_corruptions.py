"""Each corruption against what defines it, worked out in another way."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resnexus.errors import ResnexusError
from resnexus.evaluation.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from resnexus.evaluation.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate, saturate
from resnexus.evaluation.corruptions.errors import corruption_errors, is_benchmark
from resnexus.evaluation.corruptions.ice import COLOUR, _crystals, ice
from resnexus.evaluation.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from resnexus.evaluation.corruptions.plasma import plasma
from resnexus.evaluation.corruptions.table import CORRUPTIONS, find_corruption
from resnexus.evaluation.corruptions.weather import brightness, fog, frost, snow, spatter


@pytest.fixture
def random():
    return np.random.default_rng(1)


def picture(height=33, width=47, channels=3):
    """A smooth coloured picture in 0.1 .. 0.9."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (4 + channel)) * np.cos(y / (6 - channel)) for channel in range(channels)]
    return 0.5 + 0.4 * np.stack(waves, axis=-1)


def as_bytes(pixels):
    return np.rint(pixels * 255).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_same_arguments_same_pixels(name):
    pixels, row = as_bytes(picture(24, 24)), CORRUPTIONS[name]
    found = row(pixels, 3, 0, b"image")
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    assert np.array_equal(found, row(pixels, 3, 0, b"image"))
    assert not np.array_equal(found, pixels)
    assert not np.array_equal(found, row(pixels, 5, 0, b"image"))
    steady = {"brightness", "contrast", "saturate", "pixelate", "jpeg_compression", "defocus_blur", "gaussian_blur"}
    others = (row(pixels, 3, 1, b"image"), row(pixels, 3, 0, b"other"))
    assert [np.array_equal(found, other) for other in others] == 2 * [name in steady | {"zoom_blur"}]


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (33, 47, 3), (1, 1, 3)])
def test_any_picture_of_any_size(name, shape):
    for severity in (1, 5):
        assert CORRUPTIONS[name](as_bytes(picture(*shape)), severity, 0, b"").shape == shape


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "gaussian_blur", "contrast"])
def test_each_severity_is_worse(name):
    pixels = as_bytes(picture())
    harm = [np.abs(CORRUPTIONS[name](pixels, level, 0, b"") - pixels.astype(float)).mean() for level in range(1, 6)]
    assert harm == sorted(harm)


def test_the_fifteen_and_the_four_beside_them():
    plain = [row for row in CORRUPTIONS.values() if not row.extra]
    assert (len(plain), len(CORRUPTIONS)) == (15, 19)
    assert {row.family for row in plain} == {"noise", "blur", "weather", "digital"}
    assert all(len(row.strengths) == 5 for row in CORRUPTIONS.values())


def test_names_and_severities_that_there_are_not():
    with pytest.raises(ResnexusError, match="unknown corruption 'gausian_noise': did you mean 'gaussian_noise'"):
        find_corruption("gausian_noise")
    with pytest.raises(ResnexusError, match="severity=6: expected 1 to 5"):
        find_corruption("fog")(as_bytes(picture()), 6, 0, b"")


def test_noise_has_the_moments_that_define_it(random):
    grey = np.full((200, 200, 3), 0.4)
    for found, deviation in (
        (gaussian_noise(grey, 0.1, random), 0.1),
        (shot_noise(grey, 25, random), (0.4 / 25) ** 0.5),
        (speckle_noise(grey, 0.2, random), 0.4 * 0.2),
    ):
        assert found.mean() == pytest.approx(0.4, abs=3 * deviation / 346)
        assert found.std() == pytest.approx(deviation, rel=0.02)
    found = impulse_noise(grey, 0.2, random)
    assert sorted(set(found.flat)) == [0, 0.4, 1]
    assert [(found == value).mean() for value in (0, 0.4, 1)] == pytest.approx([0.1, 0.8, 0.1], abs=0.005)


def test_blurs_keep_flat_pictures_and_spread_a_point(random):
    flat = np.full((30, 31, 3), 0.3)
    point = np.zeros((31, 31, 1))
    point[15, 15] = 1
    for blur in (
        lambda x: defocus_blur(x, 3, 0.1, random),
        lambda x: motion_blur(x, 4, 2, random),
        lambda x: CORRUPTIONS["gaussian_blur"].apply(x, 2, random),
        lambda x: glass_blur(x, 0.7, 1, 2, random),
        lambda x: zoom_blur(x, 1.11, 0.01, random),
    ):
        assert blur(flat) == pytest.approx(flat, abs=1e-9)
        assert 0 < blur(point).max() < 0.9
    disc = defocus_blur(point, 3, 0.1, random)[..., 0]
    y, x = np.mgrid[-15:16, -15:16]
    assert disc == pytest.approx((x * x + y * y <= 9) / 29, abs=1e-9)  # 29 places within 3 pixels


def test_a_normal_blur_equals_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    pixels = picture()
    found = CORRUPTIONS["gaussian_blur"].apply(pixels, 3, None)
    assert found == pytest.approx(ndimage.gaussian_filter(pixels, (3, 3, 0), mode="nearest"), abs=1e-9)


def test_motion_goes_to_one_side(random):
    """Without an angle: pixel x becomes the mean of x .. x + 8 under half a bell."""

    class Level:
        def uniform(self, low, high):
            return 0.0

    line = np.zeros((1, 20, 1))
    line[0, 10] = 1
    found = motion_blur(line, 4, 2, Level())[0, :, 0]
    bell = np.exp(-0.5 * (np.arange(9) / 2) ** 2)
    assert found[2:11][::-1] == pytest.approx(bell / bell.sum())
    assert found[11:].max() == 0


def test_brightness_contrast_and_saturation_in_hsv(random):
    colorsys = pytest.importorskip("colorsys")
    pixels = picture(5, 6)
    brighter, saturated = brightness(pixels, 0.2, random), saturate(pixels, 2, 0.05, random)
    for place in np.ndindex(5, 6):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixels[place])
        assert brighter[place] == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2)))
        wanted = colorsys.hsv_to_rgb(hue, min(1, saturation * 2 + 0.05), value)
        assert saturated[place] == pytest.approx(wanted)
    flat = contrast(pixels, 0.1, random)
    assert flat.mean(axis=(0, 1)) == pytest.approx(pixels.mean(axis=(0, 1)))
    assert flat.std(axis=(0, 1)) == pytest.approx(0.1 * pixels.std(axis=(0, 1)))
    assert brightness(np.zeros((1, 1, 3)), 0.2, random) == pytest.approx(0.2)
    assert saturate(np.full((1, 1, 3), 0.5), 1, 0.1, random)[0, 0] == pytest.approx(
        colorsys.hsv_to_rgb(0, 0.1, 0.5)  # grey has the hue 0, red
    )


def test_pixelate_and_jpeg_are_those_of_pillow(random):
    pixels = as_bytes(picture(40, 40)) / 255
    blocks = pixelate(pixels, 0.25, random)
    assert len({tuple(value) for value in blocks.reshape(-1, 3)}) <= 100
    assert blocks[0, 0] == pytest.approx(pixels[:4, :4].mean(axis=(0, 1)), abs=1 / 255)
    file = BytesIO()
    Image.fromarray(as_bytes(pixels)).save(file, "JPEG", quality=10)
    assert np.array_equal(as_bytes(jpeg_compression(pixels, 10, random)), np.asarray(Image.open(file)))


def test_elastic_bends_but_keeps_values(random):
    pixels = picture()
    assert elastic_transform(pixels, 0, 0.05, 0, random) == pytest.approx(pixels, abs=1e-9)
    bent = elastic_transform(pixels, 0.05, 0.01, 0.02, random)
    assert pixels.min() <= bent.min() < bent.max() <= pixels.max()


def test_weather(random):
    cloud = plasma(32, 2, random)
    assert (cloud.min(), cloud.max()) == (0, 1)
    rough = plasma(32, 1.1, random)
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(cloud)).mean()
    pixels = picture()
    foggy = fog(pixels, 2.5, 1.7, random)
    assert foggy.max() <= pixels.max()
    assert foggy.std(axis=(0, 1)).max() < pixels.std(axis=(0, 1)).max()
    assert snow(pixels, 0.1, 0.3, 3, 0.5, 10, 4, 0.8, random).mean() > pixels.mean()


def test_frost_is_ice_over_what_is_kept():
    pixels = picture()
    pane = ice(33, 47, np.random.default_rng(5))
    assert frost(pixels, 0.7, 0.6, np.random.default_rng(5)) == pytest.approx(0.7 * pixels + 0.6 * pane)
    grey = frost(pixels[..., :1], 0.7, 0.6, np.random.default_rng(5)) - 0.7 * pixels[..., :1]
    assert grey[..., 0] == pytest.approx(0.6 * pane @ [0.299, 0.587, 0.114])


def test_ice_is_lines_at_60_degrees_on_a_film(random):
    panes = [ice(120, 160, random) for _ in range(3)]
    for pane in panes:
        assert pane.shape == (120, 160, 3)
        assert (pane.min() >= 0, pane.max() <= 1) == (True, True)
        assert pane[..., 0] == pytest.approx(COLOUR[0] * pane[..., 2])
        assert 0.2 < pane.mean() < 0.7
    assert not np.allclose(panes[0], panes[1])
    stems, branches, twigs = _crystals(100, 100, random)
    assert [len(lines.angles) for lines in (stems, branches, twigs)] == [8, 8 * 24, 8 * 24 * 10]
    turns = np.degrees(branches.angles.reshape(24, 8) - stems.angles)
    assert sorted(set(np.rint(turns.ravel()).astype(int))) == [-60, 60]
    # Every branch begins on its stem, and the first is 0.45 times as long as what is left there.
    assert branches.starts[:8] == pytest.approx(stems.at(1 / 13))
    assert branches.lengths[:8] == pytest.approx(0.45 * 12 / 13 * stems.lengths)
    assert twigs.starts[: 8 * 24] == pytest.approx(branches.at(1 / 6))


def test_spatter_is_the_authors_program(random):
    """Their steps, one after the other, with OpenCV and SciPy, on the same normal field."""
    cv2, ndimage = pytest.importorskip("cv2"), pytest.importorskip("scipy.ndimage")
    pixels = picture(96, 96)
    for mean, spread, sigma, threshold, strength, mud in CORRUPTIONS["spatter"].strengths:
        field = np.random.default_rng(3).normal(mean, spread, (96, 96))
        liquid = ndimage.gaussian_filter(field, sigma, mode="nearest")
        liquid[liquid < threshold] = 0
        if mud:
            cover = ndimage.gaussian_filter((liquid > threshold).astype(float), strength, mode="nearest")
            cover[cover < 0.8] = 0
            colour = np.array([63, 42, 20]) / 255
            expected = pixels * (1 - cover[..., None]) + cover[..., None] * colour
        else:
            drops = (liquid * 255).astype(np.uint8)
            far = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
            far = cv2.threshold(far, 20, 20, cv2.THRESH_TRUNC)[1]
            far = cv2.equalizeHist(cv2.blur(far, (3, 3)).astype(np.uint8))
            far = cv2.filter2D(far, cv2.CV_8U, np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]]))
            shine = drops * cv2.blur(far, (3, 3)).astype(np.float32)
            colour = np.array([175, 238, 238]) / 255
            expected = pixels + strength * (shine / shine.max())[..., None] * colour
            assert 0.02 < (liquid > 0).mean() < 0.8
        found = spatter(pixels, mean, spread, sigma, threshold, strength, mud, np.random.default_rng(3))
        assert found == pytest.approx(expected, abs=1e-5)
        assert not np.allclose(found, pixels, atol=0.01)


def test_the_corruption_error_is_a_ratio_of_sums():
    own = {("fog", 1): 0.2, ("fog", 2): 0.4, ("snow", 1): 0.5, ("frost", 1): 0.5}
    baseline = {("fog", 1): 0.5, ("fog", 2): 0.5, ("snow", 1): 0.5, ("snow", 2): 0.5, ("frost", 1): 0.0}
    assert corruption_errors(own, baseline) == {"fog": pytest.approx(0.6)}
    fifteen = [name for name, row in CORRUPTIONS.items() if not row.extra]
    assert is_benchmark(fifteen, [1, 2, 3, 4, 5])
    assert not is_benchmark(fifteen, [1, 2, 3])
    assert not is_benchmark(list(CORRUPTIONS), [1, 2, 3, 4, 5])
