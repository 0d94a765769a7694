import shutil

import numpy as np
import pytest
from PIL import Image, ImageFilter

from resnexus.data.preprocess import Preprocess
from resnexus.distillation import hashing
from resnexus.distillation.cache import open_cache
from resnexus.distillation.hashing import SHARES, Hashing, perceptual_hash, pool_hashes
from resnexus.prediction.decoders import Here
from resnexus.progress import Silent
from tests.distillation.conftest import BROKEN

pytest.importorskip("imagehash")


def photograph(seed=0, size=(90, 120)):
    """Noise with the spectrum of a photograph: smooth, with detail."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(6)), np.float32)
    return np.clip((blurred - blurred.mean()) * 8 + 128, 0, 255).astype(np.uint8)


def distance(first, second):
    return int(np.unpackbits(perceptual_hash(first) ^ perceptual_hash(second)).sum())


def test_the_hash_is_that_of_the_slowest_cosines():
    """By its definition: DCT-II of 32 x 32 grey pixels, 8 x 8 of it against their median."""
    from scipy.fft import dctn

    pixels = photograph()
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    slow = dctn(small, type=2)[:8, :8]
    assert np.unpackbits(perceptual_hash(pixels)).tolist() == (slow > np.median(slow)).flatten().astype(int).tolist()


def test_copies_are_near_and_others_far():
    pixels = photograph()
    assert distance(pixels, np.asarray(Image.fromarray(pixels).resize((60, 45)))) <= 4
    assert distance(pixels, np.clip(pixels * 1.2, 0, 255).astype(np.uint8)) <= 6
    assert distance(pixels, photograph(1)) > 20
    assert distance(pixels, pixels[:, ::-1]) > 20


def test_all_hashes_of_a_picture_are_made():
    pixels = photograph()
    plain = Hashing(preprocess=Preprocess())(pixels)
    both = Hashing(preprocess=Preprocess(), mirrored=True)(pixels)
    assert plain.shape == (len(SHARES), 8)
    assert both[:3].tolist() == plain.tolist()
    assert both[3].tolist() == perceptual_hash(np.ascontiguousarray(pixels[:, ::-1])).tolist()
    # Of 90 x 120 pixels, the middle without a twentieth of either side: 2 and 3 pixels on each end.
    assert plain[1].tolist() == perceptual_hash(pixels[2:-2, 3:-3]).tolist()


def test_hashes_are_kept_and_those_of_another_version_computed_anew(cache, tmp_path, monkeypatch):
    shutil.copytree(cache.folder, tmp_path / "cache")
    copy, decoder = open_cache(tmp_path / "cache"), Here(Hashing(preprocess=Preprocess()))
    hashes, readable = pool_hashes(copy, decoder, Silent())
    assert hashes.shape == (10, 3, 8)
    assert [index for index, good in enumerate(readable) if not good] == list(BROKEN)
    (copy.folder / "hashes-00001.safetensors").write_bytes(b"of another version")
    tried = []
    real = hashing.perceptual_hash
    monkeypatch.setattr(hashing, "perceptual_hash", lambda pixels: tried.append(1) or real(pixels))
    again, _ = pool_hashes(copy, decoder, Silent())
    assert len(tried) == 3 * 3  # a shard of four, of which one cannot be read
    assert np.array_equal(again, hashes)
