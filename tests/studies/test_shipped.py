import gzip

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError, open_dataset
from studies import shipped
from studies.shipped import Shipped, apart, digits, mnist, packaged, textures


def test_no_patch_overlaps_another_or_touches_the_other_side():
    photograph = np.arange(70 * 101).reshape(70, 101)  # every pixel is another number
    sides = apart(photograph, 16)
    assert [patches.shape for patches in sides] == [(8, 16, 16), (8, 16, 16)]
    for patches in sides:
        assert len(np.unique(patches)) == patches.size
    left, right = (patches % 101 for patches in sides)
    assert left.min() == 0
    assert right.min() - left.max() > 16
    assert right.max() < 101
    # A patch is a square of the photograph.
    corner = sides[1][3][0, 0]
    top, start = divmod(int(corner), 101)
    assert np.array_equal(sides[1][3], photograph[top : top + 16, start : start + 16])


def test_textures_are_divided_in_space(tmp_path, monkeypatch):
    for number, name in enumerate(shipped.TEXTURES):
        photograph = np.full((64, 160), 50 * number, dtype=np.uint8)
        photograph[:, 80:] += 5
        Image.fromarray(photograph).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(shipped, "packaged", lambda package, path: tmp_path / path.rpartition("/")[2])
    found = textures()
    assert found.pixels.shape == (3 * 2 * 4, 32, 32)
    for pixels, label, held_out in zip(found.pixels, found.labels, found.held_out, strict=True):
        assert set(pixels.ravel()) == {50 * shipped.TEXTURES.index(label) + 5 * held_out}
    assert found.held_out.sum() == 12


def test_mnist_has_its_labels_in_the_last_column(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 256, (20, 785))
    rows[:, -1] = np.repeat([3, 7], 10)
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode()))
    monkeypatch.setattr(shipped, "packaged", lambda *_: path)
    found = mnist()
    assert np.array_equal(found.pixels[4].ravel(), rows[4, :-1])
    assert list(found.labels) == ["3"] * 10 + ["7"] * 10
    assert found.held_out[:10].sum() == found.held_out[10:].sum() == 2


def test_folders_hold_the_pixels_and_the_division(tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn: pip install 'resnexus[demo]'")
    whole = digits()
    assert (len(whole.labels), int(whole.held_out.sum())) == (1797, 359)
    some = Shipped(pixels=whole.pixels[:200], labels=whole.labels[:200], held_out=whole.held_out[:200])
    some.write(tmp_path)
    found = open_dataset(tmp_path)
    assert (len(found.train), len(found.val)) == (200 - some.held_out.sum(), some.held_out.sum())
    assert found.classes == tuple("0123456789")
    for number in (0, 1):
        part = "val" if some.held_out[number] else "train"
        path = tmp_path / part / some.labels[number] / f"{number:05d}.png"
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), whole.pixels[number])


def test_what_is_not_installed_is_named():
    with pytest.raises(ResnexusError, match="no-such-thing is not installed: pip install --no-deps no-such-thing"):
        packaged("no-such-thing", "a.png")
    with pytest.raises(ResnexusError, match=r"numpy \d.* has no numpy/a.png: install another version"):
        packaged("numpy", "numpy/a.png")
