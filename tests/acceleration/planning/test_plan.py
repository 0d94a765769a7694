from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnexus.acceleration.backends.contract import Candidate
from resnexus.acceleration.planning.plan import Plan, PlanError, Trial
from resnexus.parity.agreement import Agreement

PLAN = Plan(
    candidate=Candidate("openvino", ("fold_batch_norm",), {"parts": "2"}),
    median_ms=1.5,
    plain_ms=3.0,
    ratio=0.5,
    agreement=Agreement(max_abs=1e-6, max_rel=1e-7, cosine=1.0, top1=1.0),
    trials=(Trial(candidate="a", median_ms=1.0, ratio=0.3), Trial(candidate="b", note="failed")),
)


def test_a_plan_survives_being_stored():
    assert Plan.from_json(PLAN.to_json()) == PLAN


@given(
    st.text()
    | st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)).map(
        json.dumps
    )
)
def test_anything_else_is_no_plan(text):
    with pytest.raises(PlanError, match=r"not a plan"):
        Plan.from_json(text)


@given(st.data())
def test_damaged_plans_are_no_plans_or_still_whole(data):
    record = json.loads(PLAN.to_json())
    key = data.draw(st.sampled_from(sorted(record)))
    record[key] = data.draw(
        st.none() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers(), min_size=1)
    )
    try:
        Plan.from_json(json.dumps(record))
    except PlanError:
        return
    assert key == "trials", f"{record[key]!r} was taken for {key}"
    assert record[key] == []


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("backend", "no_such", r"unknown back end 'no_such'"),
        ("rewrites", ["fold"], r"unknown rewrite 'fold'"),
        ("rewrites", "fold_batch_norm", r"texts"),
        ("options", {"parts": 2}, r"texts"),
    ],
)
def test_candidates_that_do_not_exist(field, value, message):
    record = json.loads(PLAN.to_json())
    record["candidate"][field] = value
    with pytest.raises(PlanError, match=message):
        Plan.from_json(json.dumps(record))
