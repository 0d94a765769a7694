"""Which pictures a student learns from."""

from dataclasses import replace

import numpy as np
import pytest

from resnexus import ResnexusError
from resnexus.distillation.choosing import chosen, opened
from resnexus.distillation.lines import write_lines
from resnexus.distillation.mining import Selected
from resnexus.distillation.pictures import Picture

POOL = tuple(Picture(id=number, uri=f"/pool/{number}.png") for number in range(5))


def selection(path, *uris):
    lines = [
        Selected(id=0, uri=uri, class_id=0, name="cat", confidence=0.9, rank=1, teacher="T", why="sure") for uri in uris
    ]
    write_lines(lines, path)
    return path


def test_a_cache_is_known_by_what_is_in_it(cache, pool_folder):
    found, pictures = opened(cache.folder)
    assert found.record == cache.record
    assert [picture.uri for picture in pictures] == [picture.uri for picture in cache.pictures]
    assert [picture.error is None for picture in pictures].count(False) == 2
    none, listed = opened([pool_folder])
    assert none is None
    assert [picture.uri for picture in listed] == [picture.uri for picture in pictures]


def test_a_manifest_is_a_pool(pool_folder, tmp_path):
    pytest.importorskip("pyarrow")
    from resnexus.prediction.manifest import write_manifest

    write_manifest([pool_folder], tmp_path / "manifest")
    none, pictures = opened(tmp_path / "manifest")
    assert none is None
    assert [picture.uri for picture in pictures] == [picture.uri for picture in opened(pool_folder)[1]]


def test_what_cannot_be_read_is_left_out():
    pictures = (replace(POOL[0], error="damaged"), *POOL[1:])
    assert tuple(chosen(pictures, None)) == POOL[1:]
    with pytest.raises(ResnexusError, match="no picture to learn from"):
        chosen(pictures[:1], None)


def test_what_was_mined_in_its_order_and_once(tmp_path):
    path = selection(tmp_path / "selection.jsonl", "/pool/3.png", "/pool/1.png", "/pool/3.png")
    assert tuple(chosen(POOL, path)) == (POOL[3], POOL[1])


def test_what_was_mined_of_this_very_pool_is_found_by_its_number(tmp_path):
    lines = [
        Selected(id=n, uri=f"/pool/{n}.png", class_id=0, name="cat", confidence=0.9, rank=1, teacher="T", why="sure")
        for n in (4, 2, 4)
    ]
    write_lines(lines, tmp_path / "selection.jsonl")

    class Looked(list):
        def __iter__(self):
            raise AssertionError("the whole pool was read")

    readable = np.array([True] * 5)
    found = chosen(Looked(POOL), tmp_path / "selection.jsonl", readable)
    assert (tuple(found), found.numbers.tolist()) == ((POOL[4], POOL[2]), [4, 2])
    readable[2] = False
    with pytest.raises(ResnexusError, match=r"names /pool/2.png, which is not in the pool or cannot be read"):
        chosen(Looked(POOL), tmp_path / "selection.jsonl", readable)


def test_a_selection_of_another_pool(tmp_path):
    path = selection(tmp_path / "selection.jsonl", "/pool/3.png", "/other/1.png")
    with pytest.raises(ResnexusError, match=r"names /other/1.png, which is not in the pool or cannot be read"):
        chosen(POOL, path)
    with pytest.raises(ResnexusError, match=r"cannot read .*gone.jsonl"):
        chosen(POOL, tmp_path / "gone.jsonl")
