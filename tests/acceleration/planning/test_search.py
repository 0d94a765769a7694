from __future__ import annotations

from collections import Counter

import pytest
import torch

from clocks import ManualClock
from resnexus.acceleration.backends.contract import Candidate, Job
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE
from resnexus.acceleration.planning.judge import Referee
from resnexus.acceleration.planning.search import HEATS, MORE_ROUNDS, NOISE, Search
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.progress import Silent

JOB = Job(batch_size=2, image_size=(16, 16), threads=1)
BASE = Candidate("openvino", ("fold_batch_norm", "gate_before_projection"))


class _Slowed:
    """A builder whose runners are the network itself and take as long as a table says, in milliseconds of a clock."""

    def __init__(self, network, milliseconds, clock) -> None:
        self.network, self.milliseconds, self.clock, self.row = network, milliseconds, clock, network.architecture
        self.calls: Counter[Candidate] = Counter()

    def files(self, candidate, job, scratch):
        if candidate not in self.milliseconds:
            raise RuntimeError(f"no compiler\nfor {candidate}")
        return scratch

    def load(self, candidate, job, folder):
        def run(images):
            self.calls[candidate] += 1
            self.clock.sleep(self.milliseconds[candidate] / 1e3)
            with torch.inference_mode():
                return self.network(images)

        return run


def _search(tiny, tmp_path, table, job=JOB, kind=_Slowed):
    clock = ManualClock()
    builder = kind(tiny, table, clock)
    search = Search(builder, job, Referee(tiny, job), tmp_path, seconds=0.0, progress=Silent(), clock=clock)
    return *search.fastest([backend("openvino")]), builder, search


def test_the_plain_network_stays_where_nothing_is_faster(tiny, tmp_path):
    plan, winner, *_ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 300, BASE: 600})
    assert plan.candidate == winner.candidate == PLAIN_CANDIDATE
    assert plan.ratio == 1


def test_the_fastest_of_the_first_round_is_varied_and_what_helps_is_combined(tiny, tmp_path):
    parts = Candidate("openvino", BASE.rewrites, {"parts": "2"})
    ungated = Candidate("openvino", ("fold_batch_norm",))
    both = Candidate("openvino", ungated.rewrites, {"parts": "2"})
    plan, winner, *_ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 600, BASE: 360, parts: 270, ungated: 240, both: 150})
    assert winner.candidate == both
    assert plan.ratio == pytest.approx(15 / 60)
    assert plan.plain_ms == pytest.approx(600)
    assert len(plan.trials) == 2 + 3 + 3


def test_one_change_that_helps_is_taken_and_one_that_does_not_is_left(tiny, tmp_path):
    parts = Candidate("openvino", BASE.rewrites, {"parts": "2"})
    ungated = Candidate("openvino", ("fold_batch_norm",))
    plan, winner, *_ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 600, BASE: 300, parts: 400, ungated: 200})
    assert winner.candidate == ungated
    assert len(plan.trials) == 2 + 3


def test_two_values_of_one_option_are_not_timed_again(tiny, tmp_path):
    job = Job(batch_size=4, image_size=(16, 16), threads=2)
    ungated = Candidate("openvino", ("fold_batch_norm",))
    two, four = (Candidate("openvino", BASE.rewrites, {"parts": parts}) for parts in ("2", "4"))
    table = {PLAIN_CANDIDATE: 600, BASE: 300, two: 200, four: 150, ungated: 400}
    plan, winner, *_ = _search(tiny, tmp_path, table, job)
    assert winner.candidate == four
    assert len(plan.trials) == 2 + 4


def test_a_failed_candidate_is_noted_and_the_others_go_on(tiny, tmp_path):
    plan, winner, *_ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 600, BASE: 300})
    assert winner.candidate == BASE
    notes = {trial.candidate: trial.note for trial in plan.trials if trial.note}
    assert notes["openvino() on fold_batch_norm"] == "RuntimeError: no compiler"


def test_a_plain_network_that_fails_is_an_error(tiny, tmp_path):
    with pytest.raises(RuntimeError, match="no compiler"):
        _search(tiny, tmp_path, {BASE: 30})


def test_what_is_far_behind_is_timed_in_the_heats_alone(tiny, tmp_path):
    parts = Candidate("openvino", BASE.rewrites, {"parts": "2"})
    ungated = Candidate("openvino", ("fold_batch_norm",))
    table = {PLAIN_CANDIDATE: 600, BASE: 300, parts: 280, ungated: 500}
    plan, winner, builder, _ = _search(tiny, tmp_path, table)
    assert winner.candidate == parts
    assert plan.ratio == pytest.approx(28 / 60)
    # The check, and warming up; in every heat one timed call, and in the first one more that settles.
    heats = 1 + 2 + HEATS + 1
    assert builder.calls[PLAIN_CANDIDATE] == heats
    assert builder.calls[ungated] == heats
    assert builder.calls[parts] == heats + MORE_ROUNDS + 1  # a new beginning, which knows no latest time
    assert builder.calls[BASE] == 1 + 2 * (heats - 1) + MORE_ROUNDS + 1


def test_a_reference_that_is_far_behind_still_tells_the_ratio(tiny, tmp_path):
    plan, *_ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 800, BASE: 200})
    assert plan.ratio == pytest.approx(20 / 80)
    assert plan.trials[0].ratio == pytest.approx(1)


def test_what_does_not_fit_on_the_disk_leaves_the_search_incomplete(tiny, tmp_path):
    class Full(_Slowed):
        def files(self, candidate, job, scratch):
            if candidate == BASE:
                raise NoSpaceError("no space left on the disk")
            return super().files(candidate, job, scratch)

    plan, winner, _, search = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 600}, kind=Full)
    assert winner.candidate == PLAIN_CANDIDATE
    assert [trial.note for trial in plan.trials if trial.note] == ["NoSpaceError: no space left on the disk"]
    assert not search.complete
    *_, search = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 600})
    assert search.complete  # a compiler that fails is a result


def test_a_plan_says_how_many_images_it_was_judged_on(tiny, tiny_images, tmp_path):
    plan, *_ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 600, BASE: 300})
    assert plan.images == JOB.batch_size


def test_noise_is_no_reason_to_change():
    assert 0.005 < NOISE < 0.05
