"""The page of a run of `resnexus distill` says what the record supports."""

import csv
import io
from dataclasses import replace

import pytest

from resnexus.records import read_json
from resnexus.report.distillation_page import (
    RECORD,
    caution,
    class_table,
    findings,
    pool_table,
    render,
    stage_table,
    write_distillation,
)
from resnexus.report.distillation_record import DistillationRun, SeedResult
from resnexus.report.document import is_report
from resnexus.report.table import to_csv
from tests.report.distilled import POOL, build, stage


def test_a_gain_is_told_with_its_interval():
    said = findings(build())
    assert said[0] == "Small reaches 86.00 % top-1, the mean of 3 seeds; from labels alone, for as many steps, 81.00 %."
    assert said[1] == "Its teacher, Big, reaches 91.00 %. It saw the same labels."
    # The pairs differ by 5 points each: their spread is nothing.
    assert "student minus baseline: +5.00 (equal in every seed)" in said[2]


def test_a_loss_is_told_too():
    said = findings(build(stage("baseline", 0.9, 0.92, 0.91), stage("stage1", 0.80, 0.84, 0.82)))
    assert said[2].startswith("The student is worse than the baseline. Points of top-1, student minus baseline: −9.00")


def test_too_few_seeds_claim_nothing():
    run = build(stage("baseline", 0.8), stage("stage1", 0.95))
    assert "Too few seeds, 1 instead of at least 3: no difference is claimed." in findings(run)[2]
    assert caution(run).startswith("Too few seeds for intervals.")
    assert "of which one is 0.50 points" in caution(run)


def test_no_difference_is_no_difference():
    said = findings(build(stage("baseline", 0.8, 0.9, 0.85), stage("stage1", 0.9, 0.8, 0.86)))
    assert said[2].startswith("No difference between student and baseline that these seeds can show.")


def test_every_stage_is_compared_with_the_baseline_and_with_the_one_before():
    run = build(
        stage("baseline", 0.80, 0.82, 0.81), stage("stage1", 0.85, 0.88, 0.85), stage("stage2", 0.86, 0.88, 0.87)
    )
    table = stage_table(run)
    cells = [[entry.text for entry in row] for row in table.rows]
    assert [row[0] for row in cells] == ["Teacher", "Baseline", "Stage1", "Stage2"]
    assert [row[1] for row in cells] == ["91.00", "81.00", "86.00", "87.00"]
    assert [row[2] for row in cells] == ["–", "–", "+5.00", "+6.00"]
    assert [row[4] for row in cells] == ["–", "–", "–", "+1.00"]
    assert findings(run)[3] == "Stage2: +1.00 (−1.48 to +3.48) points on top of the stage before; no difference shown."
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [line["top1"] for line in lines if line["stage"] == "stage2"] == ["0.86", "0.88", "0.87"]
    assert class_table(run).data == ({"class": "cat", "pictures": 30}, {"class": "<dog>", "pictures": 10})


def test_the_page_is_whole_and_escapes_what_it_prints(tmp_path):
    run = build()
    page = write_distillation(run, tmp_path)
    text = page.read_text()
    assert text == render(run)
    assert is_report(page, "resnexus distill")
    assert "&lt;dog&gt;" in text
    assert "<dog>" not in text
    assert 'src="data:image/png;base64,AAAA" class="small"' in text
    assert "a&amp;b.png" in text
    assert (
        "20 labelled pictures and 50 without labels: 1 could not be read, 2 were near-duplicates of labelled ones, of "
        "4 the teacher was not sure enough, 3 were more of a class than were asked for, and 40 were mined." in text
    )
    assert "1 of 2 classes have fewer than the 30 that were asked for: &lt;dog&gt; (10)." in text
    assert "http://" not in text
    assert "https://" not in text
    assert read_json(DistillationRun, tmp_path / RECORD) == run
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        "stages.md", "stages.csv", "pool.md", "pool.csv", "mined.md", "mined.csv",
    }  # fmt: skip


def test_near_duplicates_that_were_not_looked_for():
    run = build()
    without = replace(run, pool=replace(run.pool, duplicates=None, unsure=6))
    assert "near-duplicates of labelled" not in render(without)
    copies, count = pool_table(without).rows[2]
    assert (copies.text, copies.detail, count.text) == ("Copies", "not looked for", "–")
    assert pool_table(without).data[2] == {"what": "copies", "pictures": None}


def test_every_picture_is_counted_with_the_reason():
    rows = [[name.text, count.text, name.detail] for name, count in pool_table(build()).rows]
    assert rows == [
        ["Mined", "40", "the student learns from them"],
        ["Unreadable", "1", "left out: the teacher could not see them"],
        ["Copies", "2", "left out: near-duplicates of labelled pictures"],
        ["Unsure", "4", "left out: no class is 50 % probable"],
        ["Surplus", "3", "left out: 30 of their class are surer"],
    ]
    assert pool_table(build()).rows[0][1].detail == "80.0 %"
    # A row's name is followed by the reason in smaller print.
    assert 'Unsure<span class="detail">left out: no class is 50 % probable</span></th>' in render(build())


def test_many_rare_classes_are_named_in_part():
    per_class = {"many": 30} | {f"c{number:02}": number % 3 for number in range(12)}
    pool = replace(POOL, mined=42, unsure=2, per_class=per_class)
    text = render(build(pool=pool))
    assert "12 of 13 classes have fewer than the 30 that were asked for: c00 (0), c03 (0), " in text
    assert ", c07 (1), c10 (1), c02 (2), c05 (2) and 2 more." in text


@pytest.mark.parametrize(
    ("size", "larger", "tuned", "finding", "told"),
    [
        (8, (0.50, 0.52, 0.50), (0.75, 0.78, 0.74), "worse", True),
        (224, (0.50, 0.52, 0.50), (0.75, 0.78, 0.74), "worse", False),
        (8, (0.85, 0.87, 0.86), (0.88, 0.90, 0.89), "better", False),
    ],
)
def test_the_student_is_compared_at_its_own_size_and_another_one_is_told_apart(size, larger, tuned, finding, told):
    run = build(
        stage("baseline", 0.80, 0.82, 0.81, size=size),
        stage("stage1", 0.85, 0.88, 0.86, size=size),
        stage("larger", *larger, size=2 * size),
        stage("fixres", *tuned, size=2 * size),
    )
    said = findings(run)
    assert said[0].startswith("Small reaches 86.33 % top-1, the mean of 3 seeds")
    assert said[2].startswith("The student is better than the baseline.")
    assert said[3].startswith(f"At {2 * size} pixels instead of {size}, for some 4.00 times the FLOPs: ")
    assert "points with the same weights, " in said[3]
    assert said[3].endswith(f"points with the classifier trained there; {finding}.")
    assert [line.startswith("Pictures of 8 pixels are too small for this step") for line in said[4:]] == [True] * told


def test_a_stage_that_trains_nothing_takes_no_time():
    idle = replace(
        stage("larger", 0.5, 0.5, 0.5, size=40), results=(SeedResult(seed=0, top1=0.5, images=9, seconds=0),)
    )
    table = stage_table(build(stage("baseline", 0.8), stage("stage1", 0.9), idle))
    assert [row[-1].text for row in table.rows] == ["–", "3.0", "3.0", "–"]


@pytest.mark.parametrize("change", ["mined", "dropped"])
def test_no_pictures_to_show(change):
    assert "<p>None.</p>" in render(build(**{change: ()}))
