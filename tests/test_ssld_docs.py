"""docs/ssld.md: its five commands run, in small, and its tables are what the records say."""

import shlex
from pathlib import Path

import pytest
import torch

from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import open_cache
from resnexus.distillation.objectives import objective
from resnexus.weights.checkpoint_file import read_record
from studies import duplicates, gpu_hours, ssld
from tests.distillation.pictured import SMALL, folders, teacher
from tests.measured import check_measured
from tests.test_docs import COMMAND, blocks

PAGE = Path(__file__).parents[1] / "docs" / "ssld.md"
POOL_PAGE = PAGE.with_name("pool.md")
SETTINGS = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
IN_SMALL = {
    "score": ["--processes", "1"],
    "dedupe": ["--workers", "0"],
    "mine": [],
    "train": ["--model", "ResNet_small", "--device", "cpu", *SETTINGS],
    "finetune": ["--device", "cpu", *SETTINGS],
}


def test_two_folders_become_a_network_in_five_commands(command, tmp_path, monkeypatch):
    folders(tmp_path)
    (tmp_path / "labelled").rename(tmp_path / "my-photos")
    (tmp_path / "pool").rename(tmp_path / "my-pool")
    teacher(tmp_path / "teacher.safetensors")
    monkeypatch.chdir(tmp_path)
    lines = COMMAND.findall(blocks(PAGE, "console")[0])
    steps = [shlex.split(line.replace("\\\n", " ")) for line in lines]
    assert [words[:2] for words in steps] == [["distill", step] for step in IN_SMALL]
    for words in steps:
        done = command(*words, *IN_SMALL[words[1]])
        assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "better" / "last.safetensors")
    assert record.source == "trained from student/last.safetensors"
    assert record.teacher == "teacher.safetensors"
    assert record.recipe["label_weight"] == 0


class Tiny(torch.nn.Module):
    """Stands for a network of another library."""

    def __init__(self, classes):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, classes))

    def forward(self, images):
        return self.layers(images)


def test_networks_of_other_libraries_teach_and_are_taught(tmp_path, monkeypatch):
    folders(tmp_path)
    (tmp_path / "labelled").rename(tmp_path / "my-photos")
    (tmp_path / "pool").rename(tmp_path / "my-pool")
    monkeypatch.chdir(tmp_path)
    small = lambda recipe, changes=None: objective(recipe, changes=SMALL)  # noqa: E731
    monkeypatch.setattr("resnexus.distillation.objectives.objective", small)
    monkeypatch.setattr("timm.create_model", lambda name, num_classes, checkpoint_path: Tiny(2))
    monkeypatch.setattr("torchvision.models.mobilenet_v3_small", lambda num_classes: Tiny(2))
    monkeypatch.setattr("resnexus.Preprocess", lambda: Preprocess(size=8, resize_short=8))
    (code,) = (block for block in blocks(PAGE, "python") if "timm" in block)
    exec(code, {})
    first, second = (read_record(tmp_path / name / "last.safetensors") for name in ("student", "better"))
    assert first.teacher == second.teacher == "module Tiny"
    assert first.architecture is None
    assert open_cache(tmp_path / "cache").record.teacher_sha256 == first.teacher_sha256


@pytest.mark.parametrize(("mark", "table"), [("ssld", ssld.section), ("ssld hours", gpu_hours.distilled_table)])
def test_what_the_page_tells_comes_from_the_records(mark, table):
    check_measured(PAGE, mark, table())


def test_how_many_copies_are_found_comes_from_the_record():
    check_measured(POOL_PAGE, "copies", duplicates.section())


def test_an_hour_of_distillation_is_what_it_says():
    """Stage 1: 360 epochs of 5.28 M pictures, three passes of the student and one of the teacher."""
    row = next(line for line in gpu_hours.distilled_table().splitlines() if "Res2Net200" in line)
    hours = [float(cell) for cell in row.split("|")[2:6]]
    one_pass = gpu_hours.gpu_hours("Res2Net200_vd_26w_4s", 1, gpu_hours.json.loads(gpu_hours.RECORD.read_text())) / 3
    assert hours[1] == pytest.approx(360 * (4_000_000 + 1_281_167) / 1_281_167 * 4 * one_pass, rel=0.05)
    assert hours[3] == pytest.approx(sum(hours[:3]), rel=0.05)
