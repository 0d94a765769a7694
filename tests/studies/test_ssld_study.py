"""The study of SSLD: equal steps, equal cost, pieces that are kept, and tables that say what was found."""

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus import Preprocess, complexity
from resnexus.benchmark.environment import environment
from resnexus.data.augment import Augment
from resnexus.data.batches import Batch
from resnexus.data.order import Draw
from resnexus.distillation.embedded import Source
from resnexus.distillation.objectives import OBJECTIVES, objective
from resnexus.distillation.pictures import Picture
from resnexus.distillation.unlabelled import JoinedImages, PoolImages
from resnexus.progress import Silent
from resnexus.training.losses import UNLABELLED, distance
from resnexus.training.teacher import Teacher
from studies import ssld, ssld_data
from studies.ssld_views import OtherView, TwoViews
from tests.distillation.pictured import SMALL, folders


def test_the_students_cost_the_same_and_the_teacher_more():
    cost = {name: complexity(row, 8, num_classes=10, in_chans=3).macs for name, row in ssld.STUDENTS.items()}
    assert cost["Res2Net"] == pytest.approx(cost["ResNet"], rel=0.05)
    assert complexity(ssld.TEACHER, 8, num_classes=10, in_chans=3).macs > 1.5 * cost["ResNet"]


def test_every_arm_can_be_asked_for():
    for arm in ssld.ARMS.values():
        assert arm.student in ssld.STUDENTS
        assert arm.loss in {*OBJECTIVES, "pseudo"}
        assert arm.pictures in ("mined", ssld.WITH_COPIES, "whole pool", "labelled")
    for name in ssld_data.DATA:
        assert ssld.stage1(ssld_data.DATA[name], 3).seed == 3


def test_what_a_cell_depends_on_names_the_other_view_in_its_own_arm_alone():
    """A field more in all arms would make every finished cell another one."""
    fields = {"what", "student", "pictures", "loss", "changes", "replayed", "second", "size"}
    for name, arm in ssld.ARMS.items():
        assert set(arm.settings) == (fields | {"other_view"} if name == "other-view" else fields)


def test_dedupe_can_be_left_out_only_where_it_is_done():
    assert not ssld_data.DATA["digits"].has("without-dedupe")
    assert ssld_data.DATA["mnist5k"].has("without-dedupe")
    assert not ssld_data.DATA["textures-copies"].has("pseudo")
    assert set(ssld_data.DATA["textures-copies"].arms) <= set(ssld.ARMS)


def test_the_student_sees_the_view_of_the_reference_and_the_teacher_another(tmp_path):
    pictures = [Picture(id=0, uri=str(path)) for path in (folders(tmp_path) / "pool").iterdir()]
    preprocess, augment = Preprocess(size=8, resize_short=8), Augment(crop_area=(0.3, 0.9))
    pool = PoolImages(pictures, ("cat", "dog"), preprocess=preprocess, augment=augment, seed=3)
    two, draw = TwoViews(pool), Draw(epoch=2, image=1)
    seen, asked = two[draw][0].chunk(2)
    assert torch.equal(seen, JoinedImages(pool)[draw][0])
    assert not torch.equal(seen, asked)
    assert torch.equal(asked, two[draw][0][3:])
    assert torch.equal(asked, pool[draw._replace(repeat=1 << 20)][0])


def test_the_other_view_is_what_the_teacher_is_asked_about():
    recipe = objective("distil", changes={"mixup_alpha": 0.0, "channels_last": False})
    student, teacher = (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2)) for _ in range(2))
    module = OtherView(student, 2, recipe, None, teacher=Teacher(teacher, recipe))
    torch.manual_seed(0)
    both, labels = torch.randn(4, 6, 1, 1), torch.full((4,), UNLABELLED)
    seen, asked = both.chunk(2, dim=1)
    with torch.no_grad():
        found = float(module.loss(Batch(images=both, labels=labels), np.random.default_rng(0)))
        wanted, same = (float(distance(student(seen), teacher(view), recipe.distil)) for view in (asked, seen))
    assert found == pytest.approx(wanted, rel=1e-6)
    assert found != pytest.approx(same, rel=1e-3)


def test_patches_do_not_overlap_and_what_is_left_over_is_in_none():
    pixels = np.arange(70 * 100).reshape(70, 100)
    found = ssld_data.patches(pixels)
    assert len(found) == 2 * 3
    assert np.array_equal(found[4], pixels[32:64, 32:64])
    assert len({int(value) for patch in found for value in patch.flat}) == 6 * 32 * 32


def test_a_teacher_from_elsewhere_has_labels_of_pictures_that_no_student_sees(tmp_path):
    pixels, labels = np.arange(30 * 16, dtype=np.uint16).astype(np.uint8).reshape(30, 4, 4), np.arange(30) % 2
    pixels[:, 0, 0] = np.arange(30)  # no two alike
    write = ssld_data.halved(Source(title="few", load=lambda: (pixels, labels), labelled=2, val=3))
    digests = {seed: write(tmp_path / str(seed), seed) for seed in (0, 1)}
    assert digests[0] != digests[1] == write(tmp_path / "again", 1)

    def seen(part):
        files = (tmp_path / "0" / part).rglob("*.png")
        found = [(int(np.asarray(Image.open(path))[0, 0]), path.parent.name) for path in files]
        assert len({index for index, _ in found}) == len(found)
        assert part == "pool" or all(int(label) == labels[index] for index, label in found)
        return {index for index, _ in found}

    parts = {part: seen(part) for part in ("labelled/train", "labelled/val", "pool", "elsewhere/train")}
    assert [len(found) for found in parts.values()] == [4, 6, 10, 4 + 10]
    assert parts["labelled/train"] < parts["elsewhere/train"]
    assert seen("elsewhere/val") == parts["labelled/val"]
    assert set.union(*parts.values()) == set(range(30))
    apart = ("labelled/val", "pool", "elsewhere/train")
    assert sum(len(parts[part]) for part in apart) == 30
    assert "the teacher, from more labels" in ssld.tables(study("digits-elsewhere", teacher=(0.9,), ssld=(0.9,)))


def study(data="digits", **top1):
    cells = tuple(
        ssld.Cell(data=data, seed=seed, arm=arm, top1=value, images=360, pool=0, seconds=1.0)
        for arm, values in top1.items()
        for seed, value in enumerate(values)
    )
    arms = {name: ssld.ARMS[name].what for name in top1 if name != "teacher"}
    return ssld.Study(environment=environment(), arms=arms, recipes={}, gflops={}, cells=cells)


def test_the_table_pairs_every_arm_with_ssld():
    text = ssld.tables(study(teacher=(0.9, 0.9, 0.9), ssld=(0.88, 0.89, 0.9), labels=(0.8, 0.81, 0.85)))
    lines = text.splitlines()
    assert "3 seeds" in lines[0]
    assert "| the teacher, from the same labels | 90.00 ± 0.00 | – |" in lines
    assert "| labels alone | 82.00 ± 2.65 | +7.00 (+2.70 to +11.30) |" in lines
    assert "- SSLD is better than: labels alone." in lines
    assert not any("Dedupe" in line for line in lines)


def test_fewer_seeds_than_the_teacher_has_are_said():
    text = ssld.tables(study(teacher=(0.9,) * 3, ssld=(0.88, 0.89, 0.9), plain=(0.85, 0.84)))
    words = ssld.ARMS["plain"].what
    assert f"| {words} (2 seeds) | 84.50 ± 0.71 | +4.00 |" in text.splitlines()


def test_what_is_not_finished_is_not_begun(tmp_path):
    assert [one.cells for one in ssld.measure(["digits"], 2, ["ssld"], tmp_path, Silent(), ssld.FinishedSteps)] == [
        ()
    ] * 2
    assert list(tmp_path.rglob("*")) == []


def test_a_loss_is_told():
    text = ssld.tables(study(teacher=(0.9,) * 3, ssld=(0.7, 0.71, 0.72), labels=(0.8, 0.81, 0.83)))
    assert "- SSLD is worse than: labels alone." in text


def test_what_dedupe_had_to_do_is_told():
    cells = [
        ssld.Cell(data=data, seed=seed, arm=arm, top1=0.5, images=9, pool=0, seconds=1.0, copies=copies)
        for data, counts in (("digits", (None, None)), ("textures", (2, 5)), ("textures-copies", (7, 7)))
        for seed, copies in enumerate(counts)
        for arm in ("teacher", "ssld")
    ]
    arms = {name: ssld.ARMS[name].what for name in ("ssld", "without-dedupe")}
    found = ssld.Study(environment=environment(), arms=arms, recipes={}, gflops={}, cells=tuple(cells))
    told = [line for line in ssld.tables(found).splitlines() if line.startswith("- Dedupe")]
    assert told == [
        "- Dedupe: left out of this data set, so that SSLD without it is SSLD.",
        "- Dedupe left out 2 to 5 pictures of a pool; none was planted there.",
        "- Dedupe left out 7 pictures of a pool; a copy of every picture to evaluate on was planted there.",
    ]


@pytest.mark.slow
def test_a_piece_of_the_study_is_kept_and_every_kind_of_arm_runs(tmp_path, monkeypatch, recorded):
    def write(out, seed):
        folders(out)
        return str(seed)

    one, images = {"epochs": 1}, {name: value for name, value in SMALL.items() if name != "epochs"}
    noise = ssld_data.Data(what="noise", write=write, images=images, per_class=3, teacher=one, stage1=one, stage2=one)
    monkeypatch.setitem(ssld_data.DATA, "noise", noise)
    arms = [
        "ssld",
        "labels",
        "plain",
        "pseudo",
        "without-dedupe",
        "other-view",
        "kept-views",
        "one-view",
        "published",
        "fixres",
    ]
    (first,) = ssld.measure(["noise"], 1, arms[:2], tmp_path, recorded)
    *_, begun = ssld.measure(["noise"], 2, arms, tmp_path, recorded, ssld.FinishedSteps)
    assert begun.cells == first.cells
    (second,) = ssld.measure(["noise"], 1, arms, tmp_path, recorded)
    assert [cell.arm for cell in second.cells] == ["teacher", *arms]
    assert second.cells[:3] == first.cells
    assert "ssld: finished before, kept" in recorded.said
    by_arm = {cell.arm: cell for cell in second.cells}
    assert (by_arm["labels"].pool, by_arm["plain"].pool) == (0, 0)
    assert by_arm["ssld"].pool == by_arm["pseudo"].pool == by_arm["other-view"].pool > 0
    assert (by_arm["ssld"].copies, by_arm["without-dedupe"].copies) == (0, None)
    # Where there is no copy, it is the same student.
    assert by_arm["without-dedupe"].top1 == by_arm["ssld"].top1
    assert {cell.images for cell in second.cells} == {4}
    assert "| SSLD with kept answers, 1 view |" in ssld.tables(second)
