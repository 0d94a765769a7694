"""A whole run on noise: every step once, the page, and what goes on after an interruption."""

import pytest
import torch

from resnexus import ResnexusError
from resnexus.distillation import run as module
from resnexus.distillation.configs import find_config
from resnexus.distillation.run import run_all
from resnexus.records import read_json
from resnexus.report.distillation_page import RECORD
from resnexus.report.distillation_record import DistillationRun
from resnexus.report.document import is_report
from resnexus.weights.checkpoint_file import read_checkpoint, read_record
from tests.distillation.pictured import folders

TEXT = """
student: small
rows:
  - {name: small, block: bottleneck, depths: [1], width: 4, out_width: 8, stem: small, stem_width: 8}
teacher: {model: small, recipe: {epochs: 2}}
seeds: 2
images: {image_size: 8, eval_size: 8, resize_short: 8, global_batch_size: 4, warmup_epochs: 0}
score: {views: 2}
mine: {per_class: 4}
stage1: {epochs: 2}
stage2: {epochs: 1}
fixres: {size: 10, recipe: {epochs: 1}}
"""
STEPS = {
    "data", "teacher", "score", "dedupe", "mine",
    *(f"{stage}-seed{seed}" for seed in (0, 1) for stage in ("baseline", "stage1", "stage2", "fixres")),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = folders(tmp_path_factory.mktemp("pictures"))
    (place / "own.yaml").write_text(TEXT)
    return place


def start(place, out, progress=None, text=None):
    path = place / "own.yaml"
    if text is not None:
        path = place / "other.yaml"
        path.write_text(text)
    config = find_config(path).changed(labelled=str(place / "labelled"), pool=(str(place / "pool"),))
    return run_all(config, out=out, device="cpu", progress=progress)


@pytest.fixture(scope="module")
def done(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, start(place, out)


def test_the_record_tells_every_stage_of_every_seed(done):
    out, run = done
    assert read_json(DistillationRun, out / RECORD) == run
    assert [stage.name for stage in run.stages] == ["baseline", "stage1", "stage2", "larger", "fixres"]
    assert all([result.seed for result in stage.results] == [0, 1] for stage in run.stages)
    assert set(run.seconds) == STEPS
    assert (run.labelled, run.val, run.classes, run.pool.pictures) == (8, 4, 2, 6)
    assert sum(run.pool.per_class.values()) == run.pool.mined
    assert [stage.size for stage in run.stages] == [8, 8, 8, 10, 10]
    assert run.stages[-1].title == "Student at 10 pixels, classifier trained"
    assert run.teacher.learned == "It was trained on the very labels that the baseline has, and no others."
    page = (out / "index.html").read_text()
    assert is_report(out / "index.html", "resnexus distill")
    assert "Student, second stage" in page
    assert page.count("<img ") == len(run.mined) + len(run.dropped) >= 1


@pytest.mark.parametrize(
    ("name", "weights", "size", "stage"), [("student", "0", 8, "stage2"), ("larger", "0, 10 pixels", 10, "fixres")]
)
def test_the_student_is_the_last_stage_of_the_first_seed_at_its_size(done, name, weights, size, stage):
    out, run = done
    record = read_record(out / f"{name}.safetensors")
    assert (record.architecture.name, record.preprocess.size) == ("small", size)
    assert (out / run.weights[weights]).read_bytes() == (out / f"{name}.safetensors").read_bytes()
    (found,) = (one for one in run.stages if one.name == stage)
    assert record.metrics["top1"] == found.results[0].top1


def test_the_same_call_does_nothing_again(done, place, recorded):
    out, run = done
    again = start(place, out, recorded)
    assert {sentence.removesuffix(": finished before, kept") for sentence in recorded.said} >= STEPS
    assert not recorded.stages
    assert again.stages == run.stages
    assert again.seconds == run.seconds


def test_what_was_done_of_an_interrupted_run_is_kept(done, place, tmp_path, monkeypatch, recorded):
    _, run = done
    once = TEXT.replace("seeds: 2", "seeds: 1")
    monkeypatch.setattr(module, "students", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(place, tmp_path, text=once)
    monkeypatch.undo()
    again = start(place, tmp_path, recorded, text=once)
    kept = {sentence.removesuffix(": finished before, kept") for sentence in recorded.said if sentence.endswith("kept")}
    assert kept == {"data", "teacher", "score", "dedupe", "mine"}
    assert [stage.results[0].top1 for stage in again.stages] == [stage.results[0].top1 for stage in run.stages]
    mine, theirs = (read_checkpoint(out / "student.safetensors") for out in (tmp_path, done[0]))
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def _interrupted(_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("teacher: {", "teacher: {trained_on: all, "), "trained_on='all': a pool of your own has no labels"),
        (("per_class: 4", "min_confidence: 1.0"), "no picture is as sure"),
    ],
)
def test_what_cannot_be_is_one_sentence(place, tmp_path, change, message):
    with pytest.raises(ResnexusError, match=message):
        start(place, tmp_path, text=TEXT.replace(*change))


def test_a_page_of_somebody_else_is_left_alone(place, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ResnexusError, match="is no page of ours and is not overwritten"):
        start(place, tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_configuration_without_data(place, tmp_path):
    with pytest.raises(ResnexusError, match="'own' has no data of its own: name labelled pictures and a pool"):
        run_all(find_config(place / "own.yaml"), out=tmp_path)
