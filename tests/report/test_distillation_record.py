"""What the record of a run refuses."""

import pytest

from resnexus import ResnexusError
from resnexus.report.distillation_record import PoolCounts, Stage
from tests.report.distilled import build, stage


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(stage("stage1", 0.5)), r"stages=\['stage1'\]: expected 'baseline' first"),
        (lambda: Stage(name="x", title="", what="", results=()), "stage 'x': expected at least one seed"),
        (lambda: stage("baseline", 1.5), "top1=1.5: expected 0 to 1"),
        (lambda: build(schema=2), "schema=2: expected 1; run again with this version"),
        (lambda: build(val=0), "val=0"),
        (lambda: PoolCounts(pictures=1, unreadable=-1, duplicates=None, mined=0, per_class={}), "unreadable=-1"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ResnexusError, match=message):
        make()


def test_results_by_seed():
    assert stage("baseline", 0.5, 0.75).by_seed == {0: 0.5, 1: 0.75}
