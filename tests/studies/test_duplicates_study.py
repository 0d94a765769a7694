import os
import re
from pathlib import Path

import pytest

from resnexus.distillation.duplicates import FOUND, MISTAKEN, Pair, Thresholds
from studies import duplicates
from studies.duplicates import CHANGES, TOGETHER, counted, swept

ROOT = Path(__file__).parents[2]


def pair(name, correlation, removed):
    return Pair(
        id=0,
        uri=f"/pool/{name}",
        other="/own/0.png",
        distance=0,
        cosine=1.0,
        correlation=correlation,
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
    assert (rows[0.9]["found"], rows[0.9]["mistaken"]) == (pytest.approx(2 / (3 + len(CHANGES))), 0.5)
    assert rows[0.95]["mistaken"] == 0
    assert rows[0.98]["found"] == pytest.approx(1 / (3 + len(CHANGES)))


def test_the_page_says_what_the_record_says():
    page = ROOT / "docs" / "pool.md"
    table = duplicates.table(duplicates.newest())
    written = re.sub(
        r"(?<=<!-- measured: duplicates -->\n).*?(?=<!-- end -->)", lambda _: table, page.read_text(), flags=re.S
    )
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        page.write_text(written)
    assert page.read_text() == written


def test_the_claims_of_the_usual_thresholds_are_those_of_the_record():
    record = duplicates.newest()
    assert record["thresholds"] == vars(Thresholds())
    stages = [one["stages"]["all three"] for one in record["sets"].values()]
    found, mistaken = (
        sum(stage[what]["right"] for stage in stages) / sum(stage[what]["images"] for stage in stages)
        for what in ("found", "mistaken")
    )
    assert (round(found, 4), round(mistaken, 4)) == (FOUND, MISTAKEN)
    for stage in stages:
        assert stage["found"]["value"] >= 0.99
        assert stage["mistaken"]["value"] <= 0.01
