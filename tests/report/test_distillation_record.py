"""What the record of a run refuses."""

from dataclasses import replace

import pytest

from resnexus import ResnexusError
from resnexus.report.distillation_record import Stage
from tests.report.distilled import POOL, build, stage


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(stage("stage1", 0.5)), r"stages=\['stage1'\]: expected 'baseline' first"),
        (lambda: Stage(name="x", title="", what="", size=8, results=()), "stage 'x': expected at least one seed"),
        (lambda: stage("baseline", 1.5), "top1=1.5: expected 0 to 1"),
        (lambda: build(schema=1), "schema=1: expected 2; run again with this version"),
        (lambda: build(val=0), "val=0"),
        (lambda: replace(POOL, unreadable=-1), "unreadable=-1"),
        (lambda: replace(POOL, min_confidence=2.0), "min_confidence=2.0: expected 0 to 1"),
        (lambda: replace(POOL, surplus=4), r"'surplus': 4, 'mined': 40}: expected a sum of 50, each picture counted"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ResnexusError, match=message):
        make()


def test_results_by_seed():
    assert stage("baseline", 0.5, 0.75).by_seed == {0: 0.5, 1: 0.75}


def test_rare_classes_are_those_with_fewer_than_were_asked_for():
    assert replace(POOL, per_class={"many": 30, "few": 3, "none": 0}).rare == {"none": 0, "few": 3}
