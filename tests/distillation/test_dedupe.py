"""Copies planted among pieces of photographs and digits, and what is found of them."""

import shutil
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from resnexus import ResnexusError
from resnexus.distillation.cache import open_cache
from resnexus.distillation.dedupe import dedupe
from resnexus.distillation.duplicates import Deduplication, Pair, Thresholds
from resnexus.distillation.features import mirrored_features
from resnexus.distillation.lines import read_lines
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.prediction.settings import PredictionSettings
from resnexus.records import read_json

pytest.importorskip("imagehash")
datasets = pytest.importorskip("sklearn.datasets")
TILE = 96


def saved_anew(image):
    file = BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file)


CHANGES = {
    "saved": saved_anew,
    "cut": lambda image: image.crop((TILE // 20, 0, TILE, TILE - TILE // 20)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "smaller": lambda image: image.resize((TILE // 2, TILE // 2), Image.Resampling.BICUBIC),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Two folders: pieces of photographs, and a pool of their neighbours and of changed copies."""
    root = tmp_path_factory.mktemp("planted")
    own, pool = root / "own", root / "pool"
    own.mkdir()
    pool.mkdir()
    for name in ("china", "flower"):
        whole = datasets.load_sample_image(f"{name}.jpg")
        for row in range(3):
            for column in range(4):
                top, left = row * TILE + 40, column * TILE + 100
                piece = Image.fromarray(whole[top : top + TILE, left : left + TILE])
                if (row + column) % 2:
                    piece.save(pool / f"neighbour_{name}_{row}{column}.png")
                    continue
                piece.save(own / f"{name}_{row}{column}.png")
                change = list(CHANGES)[(3 * row + column) % len(CHANGES)]
                CHANGES[change](piece).save(pool / f"copy_{name}_{row}{column}_{change}.png")
    digits = datasets.load_digits()
    for number in range(20):  # twice each digit
        image = Image.fromarray((digits.images[number] * 15).astype(np.uint8)).resize(
            (32, 32), Image.Resampling.BICUBIC
        )
        image.save((own if number < 10 else pool) / f"digit_{number:02}.png")
    (pool / "copy_digit_03.png").write_bytes((own / "digit_03.png").read_bytes())
    (pool / "broken.png").touch()
    (own / "broken.png").touch()
    return own, pool


@pytest.fixture(scope="module")
def deduplicated(planted, weights, tmp_path_factory):
    own, pool = planted
    out = tmp_path_factory.mktemp("deduplicated")
    settings = ScoreSettings(views=2, asking=PredictionSettings(batch_size=16))
    cache = score(Listed([pool]), str(weights), out / "cache", settings)
    record = dedupe(cache, [str(own)], out / "duplicates.jsonl")
    return cache, record, out / "duplicates.jsonl"


def test_copies_are_found_and_neighbours_kept(deduplicated):
    cache, record, out = deduplicated
    pairs = list(read_lines(Pair, out))
    removed = {pair.uri.rpartition("/")[2]: pair for pair in pairs if pair.removed}
    planted = {name for picture in cache.pictures if (name := picture.uri.rpartition("/")[2]).startswith("copy")}
    assert set(removed) == planted
    assert len(planted) == 13
    for name, pair in removed.items():
        assert pair.other.rpartition("/")[2].removesuffix(".png") in name
        assert pair.mirrored == ("mirrored" in name)
    assert (record.pictures, record.unreadable, record.others, record.others_unreadable) == (36, 1, 23, 1)
    assert (record.removed, record.candidates) == (13, len(pairs))
    assert sum(record.kept.values()) == len(pairs) - 13
    assert read_json(Deduplication, out.with_name("duplicates.run.json")) == record


def test_the_page_shows_every_pair(deduplicated):
    _, record, out = deduplicated
    page = out.with_suffix(".html").read_text()
    assert "13 of 36 pictures of the pool are copies of one of 23" in page
    assert page.count('src="data:image/') == 2 * record.candidates
    assert "1 picture to compare with could not be read" in page
    assert "copy_digit_03.png" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_second_run_writes_the_same_part_after_part_too(deduplicated, planted, tmp_path, monkeypatch):
    cache, record, out = deduplicated
    own, _ = planted
    assert dedupe(open_cache(cache.folder), [str(own)], tmp_path / "again.jsonl") == record
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()
    asked = []

    def counting(pictures, *arguments):
        asked.extend(picture.uri for picture in pictures)
        return mirrored_features(pictures, *arguments)

    monkeypatch.setattr("resnexus.distillation.features.mirrored_features", counting)
    monkeypatch.setattr("resnexus.distillation.dedupe.TOGETHER", 5)
    assert dedupe(cache, [str(own)], tmp_path / "parts.jsonl") == record
    assert (tmp_path / "parts.jsonl").read_bytes() == out.read_bytes()
    assert len(asked) == len(set(asked)) >= 13  # the teacher, about each of one's own that is near any, once
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".html",
        ".html",
        ".json",
        ".json",
        ".jsonl",
        ".jsonl",
    ]
    # Saved as PNG, a mirror image is the same to the last bit; what was saved as JPEG or resized is not.
    strict = dedupe(cache, [str(own)], tmp_path / "strict.jsonl", Thresholds(correlation=1.0, cosine=1.0))
    assert strict.removed < record.removed


@pytest.mark.thorough
def test_decoding_in_workers_finds_the_same(deduplicated, planted, tmp_path):
    """Hashes, features and pixels: everything is decoded anew, by other processes."""
    pytest.importorskip("pebble")
    cache, record, out = deduplicated
    own, _ = planted
    shutil.copytree(cache.folder, tmp_path / "cache", ignore=shutil.ignore_patterns("hashes*"))
    asking = PredictionSettings(workers=1)
    assert dedupe(open_cache(tmp_path / "cache"), [str(own)], tmp_path / "pairs.jsonl", asking=asking) == record
    assert (tmp_path / "pairs.jsonl").read_bytes() == out.read_bytes()
    assert list((tmp_path / "cache").glob("hashes*"))


def test_without_any_candidate_the_list_is_empty(deduplicated, tmp_path):
    cache, _, _ = deduplicated
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    record = dedupe(cache, [str(tmp_path / "noise.png")], tmp_path / "none.jsonl", Thresholds(distance=4))
    assert (record.candidates, record.removed) == (0, 0)
    assert (tmp_path / "none.jsonl").read_text() == ""
    assert "<p>None.</p>" in (tmp_path / "none.html").read_text()


def test_a_gpu_that_is_not_there_is_told_before_the_pool_is_hashed(deduplicated, planted, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    shutil.copytree(deduplicated[0].folder, tmp_path / "cache", ignore=shutil.ignore_patterns("hashes*"))
    asking = PredictionSettings(device="gpu")
    with pytest.raises(ResnexusError, match="PyTorch sees no GPU here; use device 'cpu'"):
        dedupe(open_cache(tmp_path / "cache"), [str(planted[0])], tmp_path / "pairs.jsonl", asking=asking)
    assert not list((tmp_path / "cache").glob("hashes*"))


def test_what_cannot_be_compared(deduplicated, planted, tmp_path):
    cache, _, _ = deduplicated
    own, _ = planted
    with pytest.raises(ResnexusError, match="none of the 1 pictures to compare with can be read"):
        dedupe(cache, [str(own / "broken.png")], tmp_path / "out.jsonl")
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    with pytest.raises(ResnexusError, match=r"mine.html is no page of pairs and is not overwritten"):
        dedupe(cache, [str(own)], tmp_path / "mine.jsonl")
