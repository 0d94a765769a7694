from __future__ import annotations

import json
import shutil
import threading
import warnings
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest
import torch

from clocks import ManualClock
from resnexus.acceleration.backends.contract import Candidate, Job
from resnexus.acceleration.backends.memory import OutOfMemoryError
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.planning import building
from resnexus.acceleration.planning.building import Builder
from resnexus.acceleration.planning.builds import CacheError, CacheWarning
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE
from resnexus.acceleration.planning.digests import digest
from resnexus.acceleration.planning.planner import Planner, PlanWarning
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.parity.agreement import Agreement, agreement
from resnexus.progress import Silent
from resnexus.rewrites.table import rewritten
from tests.sampled import sampled

pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")

JOB = Job(batch_size=4, image_size=(16, 16), threads=1)
FASTEST = Candidate("openvino", ("fold_batch_norm",))

# What a call takes on the clock of these tests: longer than a turn settles.
CLOCK = ManualClock()
MILLISECONDS = {PLAIN_CANDIDATE: 400.0, FASTEST: 200.0}
OTHERS_MS = 220.0


@pytest.fixture(autouse=True, scope="module")
def _on_the_clock(tmp_path_factory):
    """Let runners take their time on the clock, and let what was built once here be built from a copy."""
    load, build = Builder.load, Builder._build
    built: dict[tuple[object, ...], Path] = {}

    def slowed(self, candidate, job, folder):
        runner = load(self, candidate, job, folder)

        def run(images):
            CLOCK.sleep(MILLISECONDS.get(candidate, OTHERS_MS) / 1e3)
            return runner(images)

        return run

    def copied(self, candidate, job, folder):
        # The last two are what tests replace.
        known = digest(self.key(candidate, job)), building.rewritten, type(backend(candidate.backend)).build
        if known in built:
            self.progress.say(f"building {candidate} for a batch of {job.batch_size}")
            shutil.copytree(built[known], folder, dirs_exist_ok=True)
        else:
            build(self, candidate, job, folder)
            built[known] = shutil.copytree(folder, tmp_path_factory.mktemp("built") / "copy")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Builder, "load", slowed)
        patch.setattr(Builder, "_build", copied)
        yield


class _Heard(Silent):
    """A progress that calls a function with what is said."""

    def __init__(self, say) -> None:
        self.say = say


def _planner(network, folder, say, **options) -> Planner:
    options = {"backends": ["openvino"], "seconds": 0.0, "clock": CLOCK, **options}
    return Planner(network, EngineCache(folder), progress=_Heard(say), **options)


class _Opened:
    """A planner for OpenVINO alone, with what it said and warned of."""

    def __init__(self, network, folder, job=JOB, **options) -> None:
        self.said: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            opened = _planner(network, folder, self.said.append, **options).open([job])
        ((_, self.plan, self.runner),) = opened.values()
        found = [warning for warning in caught if issubclass(warning.category, (CacheWarning, PlanWarning))]
        self.warned = [str(warning.message) for warning in found]
        self.categories = [warning.category for warning in found]

    def timed(self) -> bool:
        return any(sentence.startswith("timing ") for sentence in self.said)


@pytest.fixture(scope="module")
def planned(smallest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    return folder, _Opened(smallest, folder)


@pytest.fixture
def folder(planned, tmp_path):
    """A copy of a cache with one plan, to damage."""
    return shutil.copytree(planned[0], tmp_path / "copy")


def _agrees(opened, network, images) -> bool:
    with torch.inference_mode():
        return agreement(network(images), opened.runner(images)).within(1e-5)


def _change_plan(folder, change) -> None:
    (path,) = (folder / "plans").iterdir()
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_a_search_tries_checks_and_keeps_one(planned, smallest, tiny_images):
    folder, opened = planned
    assert _agrees(opened, smallest, tiny_images)
    assert opened.plan.candidate == FASTEST
    assert opened.plan.median_ms == pytest.approx(200)
    assert opened.plan.plain_ms == pytest.approx(400)
    assert opened.plan.ratio == pytest.approx(0.5)
    assert opened.plan.images == 4
    assert [(trial.candidate, trial.ratio) for trial in opened.plan.trials] == [
        ("torch(mode=plain) on the network as it is", pytest.approx(1)),
        ("openvino() on fold_batch_norm", pytest.approx(0.5)),
        ("openvino() on fold_batch_norm", pytest.approx(0.5)),  # again, beside its variations
        ("openvino(parts=4) on fold_batch_norm", pytest.approx(0.55)),
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["built", "checks", "locks", "plans"]
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
    said: list[str] = []
    _planner(smallest, tmp_path, said.append).open([replace(JOB, batch_size=size) for size in (2, 3)])
    assert sum(sentence.startswith("timing ") for sentence in said) >= 2
    assert sum(sentence.startswith("building openvino() on fold_batch_norm for") for sentence in said) == 1
    assert sum(sentence.startswith("building torch(mode=plain)") for sentence in said) == 1
    assert list(tmp_path.glob(".*")) == []


def test_planners_share_what_they_build(smallest, tmp_path):
    said: list[str] = []
    shared = tmp_path / "shared"
    shared.mkdir()
    for size, cache in ((2, "one"), (3, "other")):
        planner = _planner(smallest, tmp_path / cache, said.append, scratch=shared)
        planner.open([replace(JOB, batch_size=size)])
    assert sum(sentence.startswith("timing ") for sentence in said) >= 2
    # What the first kept is out of the shared folder; what it did not keep is still there.
    assert sum(sentence.startswith("building torch(mode=plain)") for sentence in said) == 1
    assert any(shared.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.clear(),
        lambda record: record["candidate"].update(backend="tensorrt"),
        pytest.param(lambda record: record["candidate"].update(rewrites=["fold"]), marks=pytest.mark.thorough),
        pytest.param(lambda record: record.update(median_ms=0), marks=pytest.mark.thorough),
        pytest.param(lambda record: record.update(ratio=float("nan")), marks=pytest.mark.thorough),
    ],
)
def test_a_damaged_plan_is_said_and_planned_again(change, folder, smallest, tiny_images):
    _change_plan(folder, change)
    opened = _Opened(smallest, folder)
    assert len(opened.warned) >= 1
    assert "the stored plan is damaged" in opened.warned[0]
    assert opened.timed()
    assert _agrees(opened, smallest, tiny_images)
    assert _Opened(smallest, folder).warned == []


@pytest.mark.parametrize(
    ("candidate", "reason"),
    sampled(
        [
            ({"options": {"parts": "3"}}, r"a batch of 4 cannot be cut into 3"),
            ({"options": {"parts": "0"}}, r"back end 'openvino': parts='0': expected what matches"),
            ({"options": {"parts": "x"}}, r"parts='x': expected what matches"),
            ({"options": {"parts": "-1"}}, r"parts='-1': expected what matches"),
            ({"options": {"rest": "fp8"}}, r"rest='fp8': expected f32, bf16"),
            ({"options": {"more": "1"}}, r"has no option 'more': accepted are parts, rest"),
            ({"backend": "torch", "options": {}}, r"needs the option 'mode': one of plain, eager, compiled"),
            ({"backend": "torch", "options": {"mode": "fast"}}, r"mode='fast': expected plain, eager, compiled"),
            ({"rewrites": ["gate_before_projection"]}, r"gate_before_projection does not apply to smallest"),
        ],
        [{"options": {"parts": "-1"}}, {"options": {"more": "1"}}, {"rewrites": ["gate_before_projection"]}],
        itemgetter(0),
    ),
)
def test_a_plan_that_cannot_be_carried_out_is_said_and_planned_again(candidate, reason, folder, smallest, tiny_images):
    _change_plan(folder, lambda record: record["candidate"].update(candidate))
    opened = _Opened(smallest, folder)
    assert "the stored plan does not serve (" in opened.warned[0]
    assert reason in opened.warned[0]
    assert opened.categories == [CacheWarning]
    assert opened.timed()
    assert _agrees(opened, smallest, tiny_images)


def test_a_library_that_fails_with_a_stored_plan_is_said_and_it_is_planned_again(
    folder, smallest, tiny_images, monkeypatch
):
    load, fails = Builder.load, [True]

    def failing(self, candidate, job, files):
        if fails:
            fails.clear()
            raise KeyError("deep inside\nof a library")
        return load(self, candidate, job, files)

    monkeypatch.setattr(Builder, "load", failing)
    opened = _Opened(smallest, folder)
    assert "the stored plan does not serve (KeyError: 'deep inside" in opened.warned[0]
    assert _agrees(opened, smallest, tiny_images)


@pytest.mark.parametrize("error", [OutOfMemoryError("not enough memory"), CacheError("cannot be read")])
def test_what_a_new_plan_would_not_mend_is_an_error(error, folder, smallest, monkeypatch):
    def failing(self, candidate, job, files):
        raise error

    monkeypatch.setattr(Builder, "load", failing)
    with pytest.raises(type(error), match=str(error)):
        _planner(smallest, folder, print).open([JOB])


def test_a_damaged_build_is_said_and_built_again(folder, smallest, tiny_images):
    built = next(path for path in (folder / "built").rglob("*") if path.is_file() and path.name != "manifest.json")
    content = bytearray(built.read_bytes())
    content[len(content) // 2] ^= 1
    built.write_bytes(content)
    opened = _Opened(smallest, folder)
    assert "is damaged (changed:" in opened.warned[0]
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


@pytest.mark.thorough
def test_a_plan_is_checked_for_weights_it_was_not_made_with(folder, random_network, smallest, tiny_images, monkeypatch):
    other = random_network(smallest.architecture, dtype=torch.float32)
    other.head.bias.data += 1
    monkeypatch.setattr(building, "rewritten", _wrongly_rewritten)
    opened = _Opened(other, folder)
    assert "the stored plan does not serve (the fp32 logits differ by" in opened.warned[0]
    assert _agrees(opened, other, tiny_images)


def test_a_precision_that_is_not_used_is_said(smallest, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "rewritten", lambda network, names: rewritten(network, names) if not names else 1 / 0)
    job = replace(JOB, batch_size=1, precision="bf16")
    opened = _Opened(smallest, tmp_path, job, backends=["torch"])  # which has bfloat16 on every processor
    assert opened.categories == [PlanWarning]
    assert "nothing in bf16 is faster than the plain network in fp32 here" in opened.warned[0]
    assert "ZeroDivisionError" in opened.warned[0]


@pytest.mark.thorough
def test_int8_that_changes_classes_is_said_every_time(smallest, tiny_images, tmp_path, monkeypatch):
    def judge(self, runner, precision=None):
        changed = 0.9 if (precision or self.job.precision) == "int8" else 1.0
        return Agreement(max_abs=0.1, max_rel=0.1, cosine=0.95, top1=changed)

    monkeypatch.setattr("resnexus.acceleration.planning.judge.Referee.judge", judge)
    pytest.importorskip("nncf", reason="nncf is optional: pip install 'resnexus[export]'")
    # Calibration takes long, and is not what is asked here.
    monkeypatch.setattr("resnexus.acceleration.backends.openvino.quantised_model", lambda model, images: model)
    job = replace(JOB, batch_size=1, precision="int8")
    for _ in range(2):
        opened = _Opened(smallest, tmp_path, job, calibration=tiny_images)
        assert opened.plan.candidate == FASTEST
        assert (opened.plan.agreement.top1, opened.plan.images) == (0.9, 4)
        assert opened.categories == [PlanWarning]
        assert "in int8 only 90.0% of the 4 calibration images get the network's own class" in opened.warned[0]
    assert opened.said == []


def test_of_two_that_plan_the_same_one_works_and_the_other_waits(smallest, tiny_images, tmp_path):
    said: dict[str, list[str]] = {"first": [], "second": []}
    opened, waits = {}, threading.Event()

    def second():
        def say(sentence):
            said["second"].append(sentence)
            waits.set()

        opened["second"] = _planner(smallest, tmp_path, say).open([JOB])

    other = threading.Thread(target=second)

    def say(sentence):
        if not said["first"]:  # in the midst of planning
            other.start()
            assert waits.wait(60)
        said["first"].append(sentence)

    opened["first"] = _planner(smallest, tmp_path, say).open([JOB])
    other.join(60)
    assert said["second"] == ["waiting for another process that plans the same"]
    assert len(said["first"]) > 1
    assert opened["first"][4][1] == opened["second"][4][1]
    with torch.inference_mode():
        assert agreement(smallest(tiny_images), opened["second"][4][2](tiny_images)).within(1e-5)


@pytest.fixture
def full(monkeypatch):
    """A disk that has no room for what OpenVINO writes."""

    def fail(self, network, job, options, folder, calibration):
        (folder / "half").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resnexus.acceleration.backends.openvino.OpenVinoBackend.build", fail)


def test_what_does_not_fit_on_the_disk_is_left_out_and_the_plan_is_not_kept(
    smallest, tiny_images, tmp_path, full, monkeypatch
):
    opened = _Opened(smallest, tmp_path)
    assert opened.plan.candidate == PLAIN_CANDIDATE
    assert _agrees(opened, smallest, tiny_images)
    (sentence,) = opened.warned
    assert "the plan is not kept, and made again next time: there was no space" in sentence
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    monkeypatch.undo()
    again = _Opened(smallest, tmp_path)
    assert again.warned == []
    assert again.plan.candidate.backend == "openvino"


def test_a_disk_without_room_for_the_plain_network_is_one_sentence(smallest, tmp_path, monkeypatch):
    def fail(self, network, job, options, folder, calibration):
        raise RuntimeError("basic_ios::clear: No space left on device")

    monkeypatch.setattr("resnexus.acceleration.backends.torch.TorchBackend.build", fail)
    with pytest.raises(NoSpaceError, match=r"^no space left on the disk of .*: make room there, give another cache"):
        _planner(smallest, tmp_path, print).open([JOB])
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_plan_that_does_not_fit_on_the_disk_still_runs(smallest, tiny_images, tmp_path, monkeypatch):
    def fail(self, key, built):
        raise NoSpaceError("no space left on the disk")

    monkeypatch.setattr(EngineCache, "keep_build", fail)
    opened = _Opened(smallest, tmp_path)
    assert opened.warned == ["the plan is not kept, and made again next time: no space left on the disk"]
    assert opened.plan.candidate == FASTEST
    assert _agrees(opened, smallest, tiny_images)  # although what it was loaded from is gone
    assert list(tmp_path.glob("plans/*")) == []
