"""One training, from its start to what is kept of it."""

from dataclasses import replace

import pytest

from resnexus.comparison import runs as module
from resnexus.comparison.kept import finished, trained_network
from resnexus.comparison.runs import train
from resnexus.comparison.settings import Settings
from resnexus.evaluation.evaluate import evaluate
from resnexus.training.hardware import Hardware


def test_what_is_measured_is_what_is_kept(jobs, tmp_path, recorded):
    (job, _) = jobs(settings=Settings(epochs=2, batch_size=6))
    run = train(job, tmp_path, recorded, "mine")
    assert finished(job, tmp_path) == run
    assert evaluate(trained_network(job, tmp_path), job.data.splits.val).top1 == run.top1
    assert (run.images, run.epochs, run.skipped, run.skipped_in_training) == (8, 2, (), ())
    assert recorded.stages == [("training mine, images", 24, [6] * 4), ("evaluating mine", 8, [8])]


def test_images_that_cannot_be_read_are_named(jobs, folder, tmp_path, recorded):
    (folder / "train" / "green" / "1.jpg").write_text("not an image")
    broken = folder / "val" / "red" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    (job, _) = jobs(settings=Settings(epochs=2, allow_bad_images=True))
    run = train(job, tmp_path, recorded, "mine")
    assert run.images == 7
    (skipped,), (in_training,) = run.skipped, run.skipped_in_training
    assert skipped.startswith(f"{broken}: ")
    assert in_training.startswith(f"{folder}/train/green/1.jpg: ")


def test_it_is_evaluated_where_it_was_trained(jobs, tmp_path, recorded, monkeypatch):
    class Elsewhere(Exception):
        pass

    def evaluated(_model, _dataset, *, device, **_):
        raise Elsewhere(device)

    (job, _), trained = jobs(), []
    monkeypatch.setattr(module, "hardware", lambda: Hardware(device="meta", precision="fp32"))
    monkeypatch.setattr(module, "train_network", lambda *_, device, **__: trained.append(device))
    monkeypatch.setattr(module, "evaluate", evaluated)
    with pytest.raises(Elsewhere, match="meta"):
        train(replace(job, seed=3), tmp_path, recorded, "mine")
    assert trained == ["meta"]
