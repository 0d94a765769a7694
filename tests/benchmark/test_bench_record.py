import contextlib
import copy
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnexus import ResnexusError
from resnexus.benchmark import bench as module
from resnexus.benchmark.bench import Bench, BenchSettings, Group, LeftOut, groups, steps
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.benchmark.peaks import Peak
from resnexus.machine import usable_cores
from resnexus.records import RecordError, from_json, read_json, to_json, write_json

SETTINGS = BenchSettings(precisions=("fp32", "bf16"), batch_sizes=(1, 2), engines=("eager", "channels_last"), rounds=3)


def left_out(model, size):
    return LeftOut(model=model, device="cpu", precision="fp32", batch_size=size, engine="eager", reason="")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engines": ("tensorflow",)}, "unknown engine 'tensorflow'"),
        ({"engines": ("eager", "eager")}, "engine 'eager' is named 2 times: name each once"),
        ({"precisions": ("fp8",)}, "unknown precision 'fp8'"),
        ({"devices": ("tpu",)}, "unknown device 'tpu'"),
        ({"devices": ("cuda:1",)}, "device 'cuda:1': expected no number"),
        ({"devices": ("gpu", "cuda")}, "device 'cuda' is named 2 times: name each once"),
        ({"batch_sizes": (0,)}, "batch size 0: expected a whole number of at least 1"),
        ({"batch_sizes": (True,)}, "batch size True: expected a whole number of at least 1"),
        ({"plan_backends": ("tvm",)}, "unknown back end 'tvm'"),
        ({"plan_seconds": float("nan")}, "plan_seconds=nan: expected at least 0"),
        ({"settle_s": -1.0}, "settle_s=-1.0: expected at least 0"),
        ({"rounds": 0}, "rounds=0: expected a whole number of at least 1"),
        ({"threads": 0}, "threads=0: expected a whole number of at least 1"),
        ({"together": 0}, "together=0: expected a whole number of at least 1"),
        ({"image_size": 0}, "image_size=0: expected a whole number of at least 1"),
        ({"engines": ()}, "nothing to time"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ResnexusError, match=message):
        replace(SETTINGS, **options)


def test_a_device_is_kept_by_the_word_of_records():
    assert replace(SETTINGS, devices=("cpu", "gpu")) == replace(SETTINGS, devices=("cpu", "cuda"))


def test_a_record_of_a_larger_machine_can_be_read_but_not_measured_here(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    there = Bench(environment=environment(), settings=replace(SETTINGS, devices=("cuda",), threads=4096))
    write_json(there, tmp_path / "bench.json")
    assert read_json(Bench, tmp_path / "bench.json") == there
    with pytest.raises(ResnexusError, match=f"threads=4096: .* from 1 to the {usable_cores()} usable cores"):
        there.settings.check_here()
    with pytest.raises(ResnexusError, match="device 'cuda': PyTorch sees no GPU here; use device 'cpu'"):
        replace(there.settings, threads=1).check_here()


def test_a_record_of_another_layout_is_not_read():
    with pytest.raises(ResnexusError, match="schema=2: expected 1; measure again"):
        Bench(environment=environment(), settings=SETTINGS, schema=2)


def test_groups_are_what_is_missing_in_the_order_of_measuring():
    found = groups(["a", "b"], SETTINGS)
    assert [(group.models, group.batch_size) for group in found] == [(("a",), 1), (("a",), 2), (("b",), 1), (("b",), 2)]
    together = replace(SETTINGS, together=2, devices=("cpu", "cuda"))
    found = groups(["a", "b", "c"], together)
    assert [group.models for group in found] == [("a", "b")] * 4 + [("c",)] * 4
    assert [(group.device, group.batch_size) for group in found[:4]] == [
        ("cpu", 1),
        ("cpu", 2),
        ("cuda", 1),
        ("cuda", 2),
    ]
    before = Bench(environment=environment(), settings=together, left_out=(left_out("a", 1), left_out("c", 2)))
    found = groups(["a", "b", "c"], replace(together, devices=("cpu",)), before)
    assert [(group.models, group.batch_size) for group in found] == [(("b",), 1), (("a", "b"), 2), (("c",), 1)]


def test_steps_count_what_is_opened_and_the_rounds():
    assert steps(Group(models=("a", "b", "c"), device="cpu", batch_size=1), SETTINGS) == 3 * 2 * 2 + 3


def test_differences_are_named(monkeypatch):
    here = environment()
    before = Bench(environment=replace(here, date="2020-01-01T00:00:00+00:00"), settings=SETTINGS)
    assert before.differences(SETTINGS, here) == []
    packages = {name: version for name, version in here.packages.items() if name != "numpy"} | {"torch": "9.9"}
    assert before.differences(
        replace(SETTINGS, rounds=4, precisions=("fp32",)), replace(here, cpu="another", packages=packages)
    ) == [
        "precisions fp32,bf16 there, fp32 here",
        "rounds 3 there, 4 here",
        f"cpu {here.cpu} there, another here",
        f"torch {here.packages['torch']} there, 9.9 here",
        f"numpy {here.packages['numpy']} there, missing here",
    ]


def test_the_default_settling_outlasts_a_neighbours_threads():
    assert BenchSettings().settle_s == module.SETTLE_S >= 0.2


RECORD = Bench(
    environment=replace(environment(), memory_gib=15.6, gpu="a GPU", packages={"torch": "2.14"}),
    settings=replace(SETTINGS, plan_backends=("openvino",)),
    peaks=(Peak(device="cpu", precision="fp32", tflops=0.4, gbytes_s=20.0, call_us=2.0),),
    cells=(
        Cell(
            model="a",
            device="cpu",
            precision="fp32",
            batch_size=1,
            engine="eager",
            image_size=224,
            median_ms=2.0,
            p10_ms=1.0,
            p90_ms=3.0,
            repeats=3,
            agreement=1e-6,
            cosine=1.0,
            plan="native() on fold_batch_norm",
            rounds_ms=(1.0, 2.0, 3.0),
        ),
    ),
    left_out=(left_out("a", 2),),
)


def places(content, path=()):
    """Every place in plain values, the whole included."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


PLAIN = json.loads(to_json(RECORD))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([10**400, -(10**400), 2**63, 5e-324, 1e308]),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["eager", "cpu", "1", "\udcff", "\x1b[1m"]),
    st.just([]),
    st.just({}),
    st.lists(st.floats(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)


@given(place=st.sampled_from(list(places(PLAIN))), value=ODD, how=st.sampled_from(["replace", "remove", "add"]))
def test_a_changed_record_is_read_or_refused_in_one_sentence(place, value, how):
    content = copy.deepcopy(PLAIN)
    *parents, key = ("whole", *place)
    holder = whole = {"whole": content}
    for name in parents:
        holder = holder[name]
    if how == "replace":
        holder[key] = value
    elif how == "remove":
        del holder[key]
    elif isinstance(holder, dict):
        holder["odd"] = value
    else:
        holder.insert(key, value)
    with contextlib.suppress(RecordError):
        found = from_json(Bench, json.dumps(whole.get("whole")), "bench.json")
        assert from_json(Bench, to_json(found), "again") == found


@given(cut=st.integers(0, len(to_json(RECORD))), more=st.text(max_size=3))
def test_a_damaged_record_is_refused(cut, more):
    text = to_json(RECORD)
    damaged = text[:cut] + more
    if damaged.rstrip() != text:
        with pytest.raises(RecordError, match=r"^bench.json is not JSON|^bench.json: "):
            from_json(Bench, damaged, "bench.json")


def test_deep_nesting_is_refused():
    nested = "[" * 100_000 + "]" * 100_000
    for damaged in (nested, to_json(RECORD).replace('"a GPU"', nested)):
        with pytest.raises(RecordError, match=r"^bench.json"):
            from_json(Bench, damaged, "bench.json")
