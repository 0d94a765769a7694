from __future__ import annotations

import json
import warnings
from dataclasses import replace

import pytest
import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.planning import building
from resnexus.acceleration.planning.cache import Cache, CacheWarning
from resnexus.acceleration.planning.planner import Planner, PlanWarning
from resnexus.parity.agreement import agreement
from resnexus.rewrites.table import rewritten

pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")

JOB = Job(batch_size=4, image_size=(16, 16), threads=1)


class _Opened:
    """A planner for OpenVINO alone, with what it said and warned of."""

    def __init__(self, network, folder, job=JOB, **options) -> None:
        self.said: list[str] = []
        cache = Cache(folder)
        planner = Planner(network, cache, backends=["openvino"], seconds=0.05, progress=self.said.append, **options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ((_, self.plan, self.runner),) = planner.open([job]).values()
        self.warned = [warning for warning in caught if issubclass(warning.category, (CacheWarning, PlanWarning))]


@pytest.fixture(scope="module")
def planned(smallest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    return folder, _Opened(smallest, folder)


@pytest.fixture
def folder(planned, tmp_path):
    """A copy of a cache with one plan, to damage."""
    import shutil

    return shutil.copytree(planned[0], tmp_path / "copy")


def _agrees(opened, network, images) -> bool:
    with torch.inference_mode():
        return agreement(network(images), opened.runner(images)).within(1e-5)


def test_a_search_tries_checks_and_keeps_one(planned, smallest, tiny_images):
    folder, opened = planned
    assert _agrees(opened, smallest, tiny_images)
    assert opened.plan.ratio <= 1
    assert opened.plan.ratio == min(trial.ratio for trial in opened.plan.trials if trial.ratio is not None)
    tried = [trial.candidate for trial in opened.plan.trials]
    assert tried[0] == "torch(mode=plain) on the network as it is"
    assert "openvino() on fold_batch_norm" in tried
    assert sorted(path.name for path in folder.iterdir()) == ["built", "checks", "plans"]
    assert len(list((folder / "built").iterdir())) == 1


def test_a_second_opening_builds_and_times_nothing(folder, smallest, tiny_images, planned):
    again = _Opened(smallest, folder)
    assert again.said == []
    assert again.warned == []
    assert again.plan == planned[1].plan
    assert _agrees(again, smallest, tiny_images)


def test_other_weights_take_the_plan_and_are_built_and_checked(folder, random_network, smallest, tiny_images):
    other = random_network(smallest.architecture, dtype=torch.float32)
    other.head.bias.data += 1
    opened = _Opened(other, folder)
    assert len(opened.said) == 1
    assert opened.said[0].startswith("building ")
    assert _agrees(opened, other, tiny_images)
    assert not _agrees(opened, smallest, tiny_images)
    assert _Opened(other, folder).said == []


def test_other_jobs_are_planned_anew_with_what_is_built_already(smallest, tmp_path):
    jobs = [Job(batch_size=size, image_size=(16, 16), threads=1) for size in (2, 3)]
    said: list[str] = []
    planner = Planner(smallest, Cache(tmp_path), backends=["openvino"], seconds=0.05, progress=said.append)
    planner.open(jobs)
    assert sum(sentence.startswith("timing ") for sentence in said) >= 2
    assert sum(sentence.startswith("building openvino() on fold_batch_norm for") for sentence in said) == 1
    assert sum(sentence.startswith("building torch(mode=plain)") for sentence in said) == 1
    assert list(tmp_path.glob(".*")) == []


def test_planners_share_what_they_build(smallest, tmp_path):
    said: list[str] = []
    shared = tmp_path / "shared"
    shared.mkdir()
    for precision in ("fp32", "bf16"):
        planner = Planner(
            smallest,
            Cache(tmp_path / "cache"),
            backends=["openvino"],
            seconds=0.05,
            progress=said.append,
            scratch=shared,
        )
        planner.open([replace(JOB, precision=precision)])
    assert sum(sentence.startswith("timing ") for sentence in said) >= 2
    assert sum(sentence.startswith("building openvino() on fold_batch_norm for") for sentence in said) == 1
    assert sum(sentence.startswith("building torch(mode=plain)") for sentence in said) == 1
    assert any(shared.iterdir())


def test_a_damaged_plan_is_said_and_planned_again(folder, smallest, tiny_images):
    (path,) = (folder / "plans").iterdir()
    path.write_text("{}")
    opened = _Opened(smallest, folder)
    assert len(opened.warned) == 1
    assert "is damaged" in str(opened.warned[0].message)
    assert any(sentence.startswith("timing ") for sentence in opened.said)
    assert _agrees(opened, smallest, tiny_images)
    assert _Opened(smallest, folder).warned == []


def test_a_plan_that_cannot_be_carried_out_is_said_and_planned_again(folder, smallest, tiny_images):
    (path,) = (folder / "plans").iterdir()
    record = json.loads(path.read_text())
    record["candidate"] |= {"backend": "openvino", "options": {"parts": "3"}}
    path.write_text(json.dumps(record))
    opened = _Opened(smallest, folder)
    assert "the stored plan does not serve (a batch of 4 cannot be cut into 3" in str(opened.warned[0].message)
    assert _agrees(opened, smallest, tiny_images)


def test_a_damaged_build_is_said_and_built_again(folder, smallest, tiny_images):
    built = next(path for path in (folder / "built").rglob("*") if path.is_file() and path.name != "manifest.json")
    content = bytearray(built.read_bytes())
    content[len(content) // 2] ^= 1
    built.write_bytes(content)
    opened = _Opened(smallest, folder)
    assert "is damaged (changed:" in str(opened.warned[0].message)
    assert len(opened.said) == 1
    assert _agrees(opened, smallest, tiny_images)


def _wrongly_rewritten(network, names):
    changed = rewritten(network, names)
    if names:
        changed.head.bias.data[0] += 1
    return changed


def test_what_computes_something_else_is_never_chosen(smallest, tiny_images, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(building, "rewritten", _wrongly_rewritten)
    opened = _Opened(smallest, tmp_path)
    assert opened.plan.candidate.backend == "torch"
    assert opened.plan.ratio == 1
    assert _agrees(opened, smallest, tiny_images)
    notes = [trial.note for trial in opened.plan.trials if trial.note]
    assert notes
    assert all("DisagreementError: the fp32 logits differ by" in note for note in notes)
    assert "not used for smallest: openvino()" in caplog.text


def test_a_plan_is_checked_for_weights_it_was_not_made_with(folder, random_network, smallest, tiny_images, monkeypatch):
    (path,) = (folder / "plans").iterdir()
    record = json.loads(path.read_text())
    record["candidate"] = {"backend": "openvino", "rewrites": ["fold_batch_norm"], "options": {}}
    path.write_text(json.dumps(record))
    other = random_network(smallest.architecture, dtype=torch.float32)
    other.head.bias.data += 1

    monkeypatch.setattr(building, "rewritten", _wrongly_rewritten)
    opened = _Opened(other, folder)
    assert "the stored plan does not serve (the fp32 logits differ by" in str(opened.warned[0].message)
    assert _agrees(opened, other, tiny_images)


def test_a_precision_that_is_not_used_is_said(smallest, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "rewritten", lambda network, names: rewritten(network, names) if not names else 1 / 0)
    opened = _Opened(smallest, tmp_path, Job(batch_size=1, image_size=(16, 16), threads=1, precision="bf16"))
    assert opened.warned[0].category is PlanWarning
    assert "nothing in bf16 is faster than the plain network in fp32 here" in str(opened.warned[0].message)
    assert "ZeroDivisionError" in str(opened.warned[0].message)
