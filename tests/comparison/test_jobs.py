"""What makes two trainings the same."""

import os
from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError, create_model
from resnexus.comparison import jobs as module
from resnexus.comparison.jobs import trainings
from resnexus.comparison.settings import Settings
from resnexus.training.hardware import Hardware
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint


def saved(row, path, seed=0):
    torch.manual_seed(seed)
    write_checkpoint(create_model(row, num_classes=2).state_dict(), path, CheckpointRecord(architecture=row))
    return path


def test_all_networks_of_a_seed_share_its_images(jobs):
    found = jobs(seeds=2)
    assert [(job.row.name, job.seed) for job in found] == [("plain", 0), ("split", 0), ("plain", 1), ("split", 1)]
    assert found[0].data is found[1].data is not found[2].data
    assert len({job.key for job in found}) == len({job.name for job in found}) == 4
    assert [job.name for job in jobs(seeds=2)] == [job.name for job in found]


@pytest.mark.parametrize(
    "change", [{"settings": Settings(epochs=2)}, {"settings": Settings(epochs=1, mixup=0)}, {"image_size": 20}]
)
def test_other_conditions_have_another_key_and_other_files(jobs, change):
    (one, *_), (other, *_) = jobs(), jobs(**change)
    assert one.key != other.key
    assert one.name != other.name


def test_the_number_of_workers_makes_no_other_training(jobs):
    assert jobs()[0].key == jobs(settings=Settings(epochs=1, workers=2))[0].key


def test_precision_and_version_are_part_of_the_key(jobs, monkeypatch):
    before = jobs()[0].key
    monkeypatch.setattr(module, "hardware", lambda: Hardware(device="cuda", precision="bf16"))
    other = jobs()[0].key
    monkeypatch.setattr(module, "__version__", "0.0.0")
    assert len({before, other, jobs()[0].key}) == 3


def test_a_changed_image_makes_another_training(jobs, folder):
    before = jobs()[0].key
    (folder / "train" / "red" / "0.jpg").write_bytes(b"x")
    assert jobs()[0].key != before


def test_a_link_that_leads_nowhere_has_a_fingerprint(jobs, folder):
    image = folder / "train" / "red" / "0.jpg"
    before = jobs()[0].key
    image.unlink()
    image.symlink_to(folder / "gone.jpg")
    assert jobs()[0].key != before


def test_folders_whose_names_are_not_unicode(jobs, folder):
    odd = os.fsencode(folder.parent) + b"/\xff"
    os.rename(folder, odd)
    for part in ("train", "val"):
        os.rename(odd + f"/{part}/red".encode(), odd + f"/{part}/".encode() + b"r\xe9d")
    (job, *_) = jobs(data=os.fsdecode(odd))
    assert job.data.splits.classes == ("green", "r\\udce9d")
    assert len(job.key) == 64


def test_weights_in_a_file_count_by_what_is_in_them(jobs, rows, tmp_path):
    first, other = (saved(rows[0], tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    same = tmp_path / "same.safetensors"
    same.write_bytes(first.read_bytes())
    keys = [jobs(models=rows[:1], weights=path)[0].key for path in (first, other, same)]
    assert keys[0] == keys[2] != keys[1]
    (job,) = jobs(models=rows[:1], weights=first)
    torch.manual_seed(0)
    expected = create_model(rows[0], num_classes=2).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in job.network().state_dict().items())


def test_a_changed_row_is_what_is_trained(jobs, rows, tmp_path):
    row = replace(rows[1], scale=3, cascade="authors")
    (job,) = jobs(models=[row], weights=saved(row, tmp_path / "authors.safetensors"))
    assert job.network().architecture == row
    (renamed,) = jobs(models=[replace(row, name="Res2Net50_26w_4s")], weights=tmp_path / "authors.safetensors")
    assert renamed.network().architecture.cascade == "authors"


def test_a_file_that_is_not_there_has_no_key(jobs, tmp_path):
    (job, _) = jobs(weights=tmp_path / "gone.safetensors")
    with pytest.raises(ResnexusError, match=r"gone.safetensors"):
        job.network()


def test_chance_is_the_share_of_the_largest_class(jobs, folder):
    assert jobs()[0].data.chance == 0.5
    (folder / "val" / "red" / "0.jpg").unlink()
    assert jobs()[0].data.chance == pytest.approx(4 / 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "seeds=0: expected at least 1"),
        ({"models": []}, "no networks to compare: name at least one"),
        ({"models": ["ResNet_small", "resnet_small"]}, "network 'ResNet_small' is named 2 times: name each once"),
        ({"models": ["nope"]}, "unknown .*'nope'"),
        ({"image_size": 0}, "size=0: expected a whole number of pixels"),
    ],
)
def test_what_cannot_be_compared(jobs, change, message):
    with pytest.raises(ResnexusError, match=message):
        jobs(**change)


def test_the_small_siblings_are_the_default_for_embedded_images():
    found = trainings("digits", models=None, weights=None, image_size=None, seeds=1, settings=Settings())
    assert [job.row.name for job in found] == [
        "ResNet_small",
        "ResNeXt_small",
        "SE_ResNet_small",
        "SE_ResNeXt_small",
        "Res2Net_small",
    ]
    assert found[0].data.splits.preprocess.size == 8
