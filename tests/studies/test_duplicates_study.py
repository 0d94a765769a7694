import pytest

from resnexus.distillation.duplicates import Pair
from studies.duplicates import CHANGES, TOGETHER, counted, swept


def pair(name, correlation, removed):
    return Pair(
        id=0,
        uri=f"/pool/{name}",
        other="/own/0.png",
        distance=0,
        cosine=1.0,
        correlation=correlation,
        detail=1.0,
        mirrored=False,
        removed=removed,
        why="",
    )


def test_what_is_found_and_what_is_mistaken_is_counted():
    truth = {"0": "mirrored", "1": "mirrored", "2": "darker", "3": TOGETHER, "4": None, "5": None}
    truth |= {str(10 + number): change for number, change in enumerate(CHANGES)}
    pairs = [pair("0", 0.99, True), pair("2", 0.96, True), pair("3", 0.97, True), pair("5", 0.94, False)]
    found = counted(pairs, truth)
    assert (found["found"]["right"], found["found"]["images"]) == (2, 3 + len(CHANGES))
    assert (found["mistaken"]["right"], found["mistaken"]["images"]) == (0, 2)
    assert found["found_by_change"]["mirrored"]["right"] == 1
    assert found["found_by_change"][TOGETHER]["value"] == 1
    rows = {row["correlation"]: row for row in swept(pairs, truth)}
    assert (rows[0.9]["found"]["value"], rows[0.9]["mistaken"]["value"]) == (pytest.approx(2 / (3 + len(CHANGES))), 0.5)
    assert rows[0.95]["mistaken"]["right"] == 0
    assert rows[0.98]["found"]["value"] == pytest.approx(1 / (3 + len(CHANGES)))
