"""What would stop a comparison late is told before its first training step."""

import os

import pytest

from resnexus import ResnexusError
from resnexus.comparison import checks as module
from resnexus.comparison.checks import check_images, check_packages, check_weights, cost
from resnexus.comparison.kept import keep
from resnexus.comparison.settings import Settings
from resnexus.report.record import Run


def test_packages(monkeypatch):
    check_packages()
    monkeypatch.setattr(module, "PACKAGES", ("lightning", "vl_convert_that_is_not_there"))
    with pytest.raises(ResnexusError, match="vl_convert_that_is_not_there is not installed: pip install"):
        check_packages()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_images_that_cannot_be_opened(jobs, folder, kind):
    image = folder / "train" / "red" / "1.jpg"
    image.unlink()
    if kind == "link":
        image.symlink_to("nowhere.jpg")
    elif kind == "pipe":
        os.mkfifo(image)
    else:
        image.mkdir()
        (image / "x.jpg").symlink_to("nowhere.jpg")
    reason = "it is a named pipe" if kind == "pipe" else "a link to nowhere.jpg, which is missing"
    with pytest.raises(ResnexusError, match=rf"training image .*red/1.jpg.*: {reason}. Repair or remove it, or allow"):
        check_images(jobs()[0])
    check_images(jobs(settings=Settings(epochs=1, allow_bad_images=True))[0])


def test_weights_of_every_network(jobs, rows, tmp_path, monkeypatch):
    wanted = jobs(weights=tmp_path / "gone.safetensors", seeds=2)
    made = []

    def network(job):
        made.append((job.row.name, job.seed))
        if job.row.name == "split":
            raise ResnexusError("not there")

    monkeypatch.setattr(type(wanted[0]), "network", network)
    with pytest.raises(ResnexusError, match="not there"):
        check_weights(wanted, tmp_path)
    assert [name for name, _ in made] == ["plain", "split"]


def test_weights_of_finished_trainings_are_not_needed(jobs, tmp_path, monkeypatch):
    (job, _) = jobs(weights="imagenet")
    network = jobs()[0].network()
    run = Run(seed=0, top1=1, top5=1, images=8, skipped=(), skipped_in_training=(), epochs=1, seconds=1)
    keep(job, network, run, tmp_path)
    monkeypatch.setattr(type(job), "network", lambda job: pytest.fail("weights were asked for"))
    check_weights([job], tmp_path)


def test_random_weights_need_nothing(jobs, tmp_path, monkeypatch):
    wanted = jobs()
    monkeypatch.setattr(type(wanted[0]), "network", lambda job: pytest.fail("weights were asked for"))
    check_weights(wanted, tmp_path)


@pytest.mark.parametrize("size", [1, 5])
def test_small_images_cost_little(jobs, size):
    (job, _) = jobs(image_size=size)
    assert 0 < cost(job).macs < cost(jobs(image_size=16)[0]).macs
