"""The page of a run of `resnexus distill` says what the record supports."""

import csv
import io

import pytest

from resnexus.records import read_json
from resnexus.report.distillation_page import (
    RECORD,
    caution,
    class_table,
    findings,
    render,
    stage_table,
    write_distillation,
)
from resnexus.report.distillation_record import DistillationRun
from resnexus.report.document import is_report
from resnexus.report.table import to_csv
from tests.report.distilled import build, stage


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
    assert "20 labelled pictures and 50 without labels: 1 could not be read, 2 were near-duplicates" in text
    assert "http://" not in text
    assert "https://" not in text
    assert read_json(DistillationRun, tmp_path / RECORD) == run
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        "stages.md", "stages.csv", "mined.md", "mined.csv",
    }  # fmt: skip


def test_near_duplicates_that_were_not_looked_for(tmp_path):
    from dataclasses import replace

    run = build()
    text = render(replace(run, pool=replace(run.pool, duplicates=None)))
    assert "near-duplicates of labelled" not in text
    assert "could not be read, and 40 were mined" in text


@pytest.mark.parametrize("change", ["mined", "dropped"])
def test_no_pictures_to_show(change):
    assert "<p>None.</p>" in render(build(**{change: ()}))
