from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnexus.acceleration.backends.contract import Candidate
from resnexus.acceleration.planning.plan import Plan, Trial
from resnexus.parity.agreement import Agreement
from resnexus.records import RecordError, from_json, to_json

PLAN = Plan(
    candidate=Candidate("openvino", ("fold_batch_norm",), {"parts": "2"}),
    median_ms=1.5,
    plain_ms=3.0,
    ratio=0.5,
    agreement=Agreement(max_abs=1e-6, max_rel=1e-7, cosine=1.0, top1=1.0),
    images=2,
    trials=(Trial(candidate="a", median_ms=1.0, ratio=0.3), Trial(candidate="b", note="failed")),
)


def _read(text: str) -> Plan:
    return from_json(Plan, text, "plan.json")


def test_a_plan_survives_being_stored():
    assert _read(to_json(PLAN)) == PLAN


@given(
    st.text()
    | st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)).map(
        json.dumps
    )
)
@settings(max_examples=50)
def test_anything_else_is_no_plan(text):
    with pytest.raises(RecordError, match=r"plan\.json"):
        _read(text)


@given(st.data())
def test_damaged_plans_are_no_plans_or_still_whole(data):
    record = json.loads(to_json(PLAN))
    key = data.draw(st.sampled_from(sorted(record)))
    record[key] = data.draw(
        st.none() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers(), min_size=1)
    )
    try:
        _read(json.dumps(record))
    except RecordError:
        return
    assert key == "trials", f"{record[key]!r} was taken for {key}"
    assert record[key] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate": {"backend": "no_such"}}, r"unknown back end 'no_such'"),
        ({"candidate": {"rewrites": ["fold"]}}, r"unknown rewrite 'fold'"),
        ({"candidate": {"rewrites": "fold_batch_norm"}}, r"candidate.rewrites: expected a list"),
        ({"candidate": {"options": {"parts": 2}}}, r"candidate.options.*: expected a text, found 2"),
        ({"median_ms": 0}, r"median_ms=0.0: expected a positive number"),
        ({"plain_ms": float("inf")}, r"plain_ms=inf"),
        ({"ratio": -0.5}, r"ratio=-0.5"),
        ({"ratio": float("nan")}, r"ratio=nan"),
        ({"ratio": 10**400}, r"ratio: expected a number that fits 64 bits"),
        ({"images": 0}, r"images=0: expected at least 1"),
        ({"agreement": {"top1": 1.5}}, r"top1=1.5: expected from"),
        ({"agreement": {"max_rel": float("nan")}}, r"max_rel=nan"),
        ({"agreement": {"max_abs": -1}}, r"max_abs=-1.0: expected from 0"),
        ({"trials": [{"candidate": "a", "median_ms": -1}]}, r"median_ms=-1.0"),
        ({"trials": [{}]}, r"candidate: it is missing"),
        ({"more": 1}, r"unknown field of Plan 'more'"),
    ],
)
def test_what_cannot_be(change, message):
    record = json.loads(to_json(PLAN))
    for field, value in change.items():
        record[field] = {**record[field], **value} if isinstance(value, dict) else value
    with pytest.raises(RecordError, match=message):
        _read(json.dumps(record))


def test_a_record_that_is_nested_too_deeply():
    with pytest.raises(RecordError, match=r"nested too deeply"):
        _read("[" * 100_000 + "]" * 100_000)
