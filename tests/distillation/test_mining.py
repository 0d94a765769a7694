import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from resnexus import ResnexusError
from resnexus.distillation.cache import Cache, pictures_name, tensors_name
from resnexus.distillation.duplicates import Pair
from resnexus.distillation.lines import read_lines, write_lines
from resnexus.distillation.mining import Mining, RareClass, Selected, mine
from resnexus.distillation.pictures import Picture
from resnexus.records import read_json

CLASSES = [0, 2, 0, 1, 0, -1, 0, 2, 0, 0]
CONFIDENCE = [0.9, 0.6, 0.5, 0.4, 0.9, 0.0, 0.7, 0.8, 0.95, 0.3]


@pytest.fixture
def answered(cache, tmp_path) -> Cache:
    """Ten pictures whose classes and probabilities are those above, in shards of four."""
    folder = tmp_path / "answered"
    folder.mkdir()
    for shard in range(3):
        rows = cache.record.rows(shard)
        save_file(
            {
                "features": np.zeros((len(rows), cache.record.features), np.float16),
                "plain_classes": np.array([[CLASSES[row], 1] for row in rows], np.int32),
                "plain_probabilities": np.array([[CONFIDENCE[row], 0] for row in rows], np.float32),
                "plain_rest": np.zeros(len(rows), np.float32),
                "seeds": np.zeros((len(rows), 3), np.int64),
                "classes": np.zeros((len(rows), 3, 2), np.int32),
                "probabilities": np.zeros((len(rows), 3, 2), np.float32),
                "rest": np.zeros((len(rows), 3), np.float32),
            },
            folder / tensors_name(shard),
        )
        write_lines([Picture(id=row, uri=f"/{row}.png") for row in rows], folder / pictures_name(shard))
    return Cache(folder, cache.record)


def copy(number, removed=True, uri=None):
    return Pair(
        id=number,
        uri=uri or f"/{number}.png",
        other="/val.png",
        distance=0,
        cosine=1.0,
        correlation=1.0,
        detail=1.0,
        mirrored=False,
        removed=removed,
        why="",
    )


def test_the_surest_of_each_class_are_taken(answered, tmp_path):
    """By hand: of class 0 the pictures 8 (.95), 0 and 4 (.9 each, the lower number first), and 6 beyond the third."""
    out = tmp_path / "selection.jsonl"
    done = mine(answered, out, per_class=3, min_confidence=0.5)
    lines = list(read_lines(Selected, out))
    assert [(line.id, line.class_id, line.rank) for line in lines] == [
        (8, 0, 1),
        (0, 0, 2),
        (4, 0, 3),
        (7, 2, 1),
        (1, 2, 2),
    ]
    assert lines[0] == Selected(
        id=8,
        uri="/8.png",
        class_id=0,
        name="blue",
        confidence=0.95,
        rank=1,
        teacher=answered.record.teacher,
        why="number 1 of the 5 of its class that are sure enough",
    )
    assert (done.unreadable, done.copies, done.unsure, done.surplus, done.selected) == (1, 0, 2, 2, 5)
    assert done.unreadable + done.copies + done.unsure + done.surplus + done.selected == done.pictures == 10
    assert done.classes == 2
    assert done.rare == (
        RareClass(class_id=1, name="green", pictures=0),
        RareClass(class_id=2, name="red", pictures=2),
    )
    assert read_json(Mining, tmp_path / "selection.run.json") == done


def test_copies_are_left_out_and_those_that_come_after_move_up(answered, tmp_path):
    duplicates = tmp_path / "duplicates.jsonl"
    write_lines([copy(8), copy(4, removed=False), copy(5)], duplicates)
    done = mine(answered, tmp_path / "selection.jsonl", per_class=2, min_confidence=0, duplicates=duplicates)
    found = [json.loads(line)["id"] for line in (tmp_path / "selection.jsonl").read_text().splitlines()]
    assert found == [0, 4, 3, 7, 1]
    # Picture 5 could not be read, and is counted as that.
    assert (done.unreadable, done.copies, done.unsure, done.surplus) == (1, 1, 0, 3)
    assert [rare.name for rare in done.rare] == ["green"]


def test_a_class_without_names_is_its_number(answered, tmp_path):
    nameless = Cache(answered.folder, replace(answered.record, classes=None))
    mine(nameless, tmp_path / "selection.jsonl", per_class=1, min_confidence=0.9)
    (line,) = read_lines(Selected, tmp_path / "selection.jsonl")
    assert line.name == "0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": 0, "min_confidence": 0.5}, "per_class=0: expected a whole number of at least 1"),
        ({"per_class": 1, "min_confidence": 50}, "min_confidence=50: expected a probability from 0 to 1"),
        ({"per_class": 1, "min_confidence": 0.96}, "min_confidence=0.96: no picture is as sure; the surest has 0.950"),
    ],
)
def test_what_cannot_be_taken(answered, tmp_path, options, message):
    with pytest.raises(ResnexusError, match=message):
        mine(answered, tmp_path / "selection.jsonl", **options)
    assert not (tmp_path / "selection.jsonl").exists()


def test_the_list_of_another_pool(answered, tmp_path):
    duplicates = tmp_path / "duplicates.jsonl"
    for strange in (copy(2, uri="/other.png"), copy(10)):
        write_lines([strange], duplicates)
        with pytest.raises(ResnexusError, match=r"duplicates.jsonl is of another pool: it calls picture \d+ /"):
            mine(answered, tmp_path / "selection.jsonl", per_class=1, min_confidence=0, duplicates=duplicates)


def test_a_pool_of_copies_alone(answered, tmp_path):
    write_lines([copy(number) for number in range(10)], tmp_path / "duplicates.jsonl")
    with pytest.raises(ResnexusError, match="no picture is as sure; none is left before"):
        mine(
            answered,
            tmp_path / "selection.jsonl",
            per_class=1,
            min_confidence=0,
            duplicates=tmp_path / "duplicates.jsonl",
        )


def test_the_teachers_own_answers_are_mined(cache, tmp_path):
    done = mine(cache, tmp_path / "selection.jsonl", per_class=10, min_confidence=0)
    assert done.selected == 8
    for line in read_lines(Selected, tmp_path / "selection.jsonl"):
        label = cache.soft_label(line.id)
        assert (line.class_id, np.float32(line.confidence)) == (label.classes[0], label.probabilities[0])
        assert line.uri == cache.pictures[line.id].uri
