"""The study of SSLD: equal steps, equal cost, pieces that are kept, and tables that say what was found."""

import numpy as np
import pytest

from resnexus import complexity
from resnexus.benchmark.environment import environment
from resnexus.distillation.objectives import OBJECTIVES
from studies import ssld, ssld_data
from tests.distillation.pictured import SMALL, folders


def test_the_students_cost_the_same_and_the_teacher_more():
    cost = {name: complexity(row, 8, num_classes=10, in_chans=3).macs for name, row in ssld.STUDENTS.items()}
    assert cost["Res2Net"] == pytest.approx(cost["ResNet"], rel=0.05)
    assert complexity(ssld.TEACHER, 8, num_classes=10, in_chans=3).macs > 1.5 * cost["ResNet"]


def test_every_arm_can_be_asked_for():
    for arm in ssld.ARMS.values():
        assert arm.student in ssld.STUDENTS
        assert arm.loss in {*OBJECTIVES, "pseudo"}
        assert arm.pictures in ("mined", "whole pool", "labelled")
    for name in ssld_data.DATA:
        assert ssld.stage1(ssld_data.DATA[name], 3).seed == 3


def test_patches_do_not_overlap_and_what_is_left_over_is_in_none():
    pixels = np.arange(70 * 100).reshape(70, 100)
    found = ssld_data.patches(pixels)
    assert len(found) == 2 * 3
    assert np.array_equal(found[4], pixels[32:64, 32:64])
    assert len({int(value) for patch in found for value in patch.flat}) == 6 * 32 * 32


def study(**top1):
    cells = tuple(
        ssld.Cell(data="digits", seed=seed, arm=arm, top1=value, images=360, pool=0, seconds=1.0)
        for arm, values in top1.items()
        for seed, value in enumerate(values)
    )
    arms = {name: ssld.ARMS[name].what for name in top1 if name != "teacher"}
    return ssld.Study(environment=environment(), arms=arms, recipes={}, gflops={}, cells=cells)


def test_the_table_pairs_every_arm_with_ssld():
    text = ssld.tables(study(teacher=(0.9, 0.9, 0.9), ssld=(0.88, 0.89, 0.9), labels=(0.8, 0.81, 0.85)))
    lines = text.splitlines()
    assert "3 seeds" in lines[0]
    assert "| the teacher, from the same labels | 90.00 ± 0.00 | – | – |" in lines
    (row,) = (line for line in lines if line.startswith("| labels alone |"))
    assert "82.00 ± 2.65 | +7.00 (+2.70 to +11.30) | SSLD is better |" in row


def test_a_loss_is_told():
    text = ssld.tables(study(teacher=(0.9,) * 3, ssld=(0.7, 0.71, 0.72), labels=(0.8, 0.81, 0.83)))
    assert "SSLD is worse |" in text


@pytest.mark.slow
def test_a_piece_of_the_study_is_kept_and_every_kind_of_arm_runs(tmp_path, monkeypatch, recorded):
    def write(out, seed):
        folders(out)
        return str(seed)

    one, images = {"epochs": 1}, {name: value for name, value in SMALL.items() if name != "epochs"}
    noise = ssld_data.Data(
        what="noise", write=write, images=images, per_class=3, teacher=one, stage1=one, stage2=one, dedupe=False
    )
    monkeypatch.setitem(ssld_data.DATA, "noise", noise)
    arms = ["ssld", "labels", "plain", "pseudo", "kept-views", "one-view", "published", "fixres"]
    (first,) = ssld.measure(["noise"], 1, arms[:2], tmp_path, recorded)
    (second,) = ssld.measure(["noise"], 1, arms, tmp_path, recorded)
    assert [cell.arm for cell in second.cells] == ["teacher", *arms]
    assert second.cells[:3] == first.cells
    assert "ssld: finished before, kept" in recorded.said
    by_arm = {cell.arm: cell for cell in second.cells}
    assert (by_arm["labels"].pool, by_arm["plain"].pool) == (0, 0)
    assert by_arm["ssld"].pool == by_arm["pseudo"].pool > 0
    assert {cell.images for cell in second.cells} == {4}
    assert "| SSLD with kept answers, 1 view |" in ssld.tables(second)
