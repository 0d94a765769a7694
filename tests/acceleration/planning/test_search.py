from __future__ import annotations

import time
from collections import Counter

import pytest
import torch

from resnexus.acceleration.backends.contract import Candidate, Job
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE
from resnexus.acceleration.planning.judge import Referee
from resnexus.acceleration.planning.search import HEATS, NOISE, Search

JOB = Job(batch_size=2, image_size=(16, 16), threads=1)
BASE = Candidate("openvino", ("fold_batch_norm", "gate_before_projection"))


class _Slowed:
    """A builder whose runners are the network itself and take as long as a table says, in milliseconds."""

    def __init__(self, network, milliseconds) -> None:
        self.network, self.milliseconds, self.row = network, milliseconds, network.architecture

    def files(self, candidate, job, scratch):
        if candidate not in self.milliseconds:
            raise RuntimeError(f"no compiler\nfor {candidate}")
        return scratch

    def load(self, candidate, job, folder):
        def run(images):
            end = time.perf_counter() + self.milliseconds[candidate] / 1e3
            with torch.inference_mode():
                logits = self.network(images)
            while time.perf_counter() < end:
                pass
            return logits

        return run


def _search(tiny, tmp_path, table, job=JOB):
    search = Search(
        _Slowed(tiny, table), job, Referee(tiny, job), tmp_path, seconds=0.0, progress=lambda sentence: None
    )
    return search.fastest([backend("openvino")])


def test_the_plain_network_stays_where_nothing_is_faster(tiny, tmp_path):
    plan, winner = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 30, BASE: 60})
    assert plan.candidate == winner.candidate == PLAIN_CANDIDATE
    assert plan.ratio == 1


def test_the_fastest_of_the_first_round_is_varied_and_what_helps_is_combined(tiny, tmp_path):
    parts = Candidate("openvino", BASE.rewrites, {"parts": "2"})
    ungated = Candidate("openvino", ("fold_batch_norm",))
    both = Candidate("openvino", ungated.rewrites, {"parts": "2"})
    plan, winner = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 60, BASE: 36, parts: 27, ungated: 24, both: 15})
    assert winner.candidate == both
    assert plan.ratio == pytest.approx(15 / 60, rel=0.3)
    assert plan.plain_ms == pytest.approx(60, rel=0.3)
    assert len(plan.trials) == 2 + 3 + 3


def test_one_change_that_helps_is_taken_and_one_that_does_not_is_left(tiny, tmp_path):
    parts = Candidate("openvino", BASE.rewrites, {"parts": "2"})
    ungated = Candidate("openvino", ("fold_batch_norm",))
    plan, winner = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 60, BASE: 30, parts: 40, ungated: 20})
    assert winner.candidate == ungated
    assert len(plan.trials) == 2 + 3


def test_two_values_of_one_option_are_not_timed_again(tiny, tmp_path):
    job = Job(batch_size=4, image_size=(16, 16), threads=2)
    ungated = Candidate("openvino", ("fold_batch_norm",))
    two, four = (Candidate("openvino", BASE.rewrites, {"parts": parts}) for parts in ("2", "4"))
    table = {PLAIN_CANDIDATE: 60, BASE: 30, two: 20, four: 15, ungated: 40}
    plan, winner = _search(tiny, tmp_path, table, job)
    assert winner.candidate == four
    assert len(plan.trials) == 2 + 4


def test_a_failed_candidate_is_noted_and_the_others_go_on(tiny, tmp_path):
    plan, winner = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 60, BASE: 30})
    assert winner.candidate == BASE
    notes = {trial.candidate: trial.note for trial in plan.trials if trial.note}
    assert notes["openvino() on fold_batch_norm"] == "RuntimeError: no compiler"


def test_a_plain_network_that_fails_is_an_error(tiny, tmp_path):
    with pytest.raises(RuntimeError, match="no compiler"):
        _search(tiny, tmp_path, {BASE: 30})


def test_what_is_far_behind_is_timed_in_the_heats_alone(tiny, tmp_path):
    parts = Candidate("openvino", BASE.rewrites, {"parts": "2"})
    ungated = Candidate("openvino", ("fold_batch_norm",))
    table = {PLAIN_CANDIDATE: 60, BASE: 30, parts: 28, ungated: 50}
    calls = Counter()

    class Counting(_Slowed):
        def load(self, candidate, job, folder):
            run = super().load(candidate, job, folder)

            def counted(images):
                calls[candidate] += 1
                return run(images)

            return counted

    search = Search(
        Counting(tiny, table), JOB, Referee(tiny, JOB), tmp_path, seconds=0.0, progress=lambda sentence: None
    )
    plan, winner = search.fastest([backend("openvino")])
    assert winner.candidate == parts
    assert plan.ratio == pytest.approx(28 / 60, rel=0.2)
    heats = 1 + 2 + HEATS  # the check, warming up, and one timed call in each, besides those that settle
    assert calls[PLAIN_CANDIDATE] < heats + HEATS * 3
    assert calls[ungated] < heats + HEATS * 4
    assert calls[parts] > 2 * heats


def test_a_reference_that_is_far_behind_still_tells_the_ratio(tiny, tmp_path):
    plan, _ = _search(tiny, tmp_path, {PLAIN_CANDIDATE: 80, BASE: 20})
    assert plan.ratio == pytest.approx(20 / 80, rel=0.25)
    assert plan.trials[0].ratio == pytest.approx(1, rel=0.25)


def test_noise_is_no_reason_to_change():
    assert 0.005 < NOISE < 0.05
