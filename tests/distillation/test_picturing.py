"""The pictures on a run's page: of every reason to be left out some, and of no picture two."""

from collections import Counter

import numpy as np

from resnexus.distillation import picturing
from resnexus.distillation.duplicates import COPY, Pair
from resnexus.distillation.lines import write_lines
from resnexus.distillation.mining import Selected, mine
from resnexus.distillation.picturing import shown
from resnexus.distillation.pooling import MinedPool
from resnexus.report.distillation_record import PoolCounts


def pooled(cache, folder):
    """Mine one picture of each class; the surest is called a copy, and two others are not sure enough."""
    confidence = cache.leading("plain_probabilities")
    order = sorted(np.flatnonzero(cache.readable()).tolist(), key=lambda number: confidence[number])
    pair = Pair(
        id=order[-1], uri=cache.pictures[order[-1]].uri, other="/home/x/data/val/cat/3.png", distance=0, cosine=1.0,
        correlation=1.0, detail=1.0, mirrored=False, removed=True, why=COPY,
    )  # fmt: skip
    write_lines([pair], folder / "pairs.jsonl")
    selection, limit = folder / "selection.jsonl", float(confidence[order[2]])
    mining = mine(cache, selection, per_class=1, min_confidence=limit, duplicates=folder / "pairs.jsonl")
    counts = PoolCounts(
        pictures=mining.pictures, unreadable=mining.unreadable, duplicates=mining.copies, unsure=mining.unsure,
        surplus=mining.surplus, mined=mining.selected, min_confidence=limit, most=1, per_class={},
    )  # fmt: skip
    return order, MinedPool(
        cache=cache.folder, selection=selection, duplicates=folder / "pairs.jsonl", mining=mining, counts=counts
    )


def test_pictures_are_shown_with_the_reason(cache, tmp_path):
    order, pool = pooled(cache, tmp_path)
    mined, dropped = shown(pool)
    uri = {picture.id: picture.uri for picture in cache.pictures}
    assert (dropped[0].name, dropped[0].why) == (uri[order[-1]], "copy of val/cat/3.png")
    reasons = Counter(picture.why.split(":")[0] for picture in dropped[1:])
    assert reasons == {"unsure": 2, "surplus": 5 - len(mined)}
    assert {picture.name for picture in dropped if picture.why.startswith("unsure")} == {uri[order[0]], uri[order[1]]}
    every = [picture.name for picture in (*mined, *dropped)]
    assert sorted(every) == sorted(uri[number] for number in order)


def test_of_many_pictures_some_are_shown_evenly():
    which = np.ones(100, bool)
    which[:10] = False
    found = picturing._spaced(which)
    assert (len(found), found[0], found[-1]) == (20, 10, 99)
    assert set(np.diff(found)) <= {4, 5}
    assert picturing._spaced(np.zeros(3, bool)) == []


def test_of_a_class_the_surest_the_middle_and_the_least_sure_are_shown(cache, tmp_path):
    _, pool = pooled(cache, tmp_path)
    lines = [
        Selected(
            id=number, uri="", class_id=class_id, name=name, confidence=0.9 - number / 100, rank=1, teacher="", why=""
        )
        for class_id, name, numbers in ((0, "cat", range(5)), (2, "dog", range(5, 6)), (3, "cow", range(6, 8)))
        for number in numbers
    ]  # fmt: skip
    write_lines(lines, pool.selection)
    assert list(picturing._mined(pool)) == [
        (0, "cat, 90 % sure"), (2, "cat, 88 % sure"), (4, "cat, 86 % sure"), (5, "dog, 85 % sure"),
        (6, "cow, 84 % sure"), (7, "cow, 83 % sure"),
    ]  # fmt: skip
