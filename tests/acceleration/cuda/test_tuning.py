from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from operations_seen import OperationsSeen
from small_rows import IMAGE_SIZE, arranged, record_of, row, weights_of

from clocks import ManualClock
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.cuda import choosing, tuning
from resnexus.acceleration.cuda.choosing import describe, measured, unmeasured, ways_of
from resnexus.acceleration.cuda.pairs import pairs
from resnexus.acceleration.cuda.program import Program
from resnexus.acceleration.cuda.tuning import Table, Tuner, label_of, read_table, setting, write_table
from resnexus.acceleration.cuda.ways import LIBRARY, Way
from resnexus.claim import claimed
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import agreement

JOB = Job(batch_size=2, image_size=IMAGE_SIZE)


@pytest.fixture
def network(random_network):
    return arranged(random_network(row("vd"), dtype=torch.float32), torch.float32)


def _tuner(found, times, *, clock=None, ours=False):
    """A tuner whose measurements take a second each, and find what a list says."""
    clock = clock or ManualClock()
    given = iter(times)

    def measure(call):
        call()
        clock.sleep(1.0)
        return next(given)

    return Tuner(record_of(found), weights_of(found), JOB, ours, measure, clock.now)


def _products(record):
    """Descriptions of the steps that two ways of the libraries take."""
    return {describe(record, step, JOB) for step in record.steps if len(ways_of(step, ours=False)) > 1}


def test_the_fastest_way_of_each_step_is_chosen_and_runs(network):
    record = record_of(network)
    choices, table = _tuner(network, iter(lambda: 7.0, None)).choices(Table(), 1e9)
    assert choices.keys() == {describe(record, step, JOB) for step in record.steps} == table.microseconds.keys()
    products = _products(record)
    assert products
    slow = Table(microseconds={name: {"cudnn": 9.0, "cublaslt": 2.0} for name in products})
    choices, _ = _tuner(network, iter(lambda: 7.0, None)).choices(slow, 1e9)
    assert {choices[name] for name in products} == {"cublaslt"}
    same, chosen = measured(record, JOB, choices, setting)
    assert same == record
    names = {way.name for way, _ in chosen}
    assert "cublaslt" in names
    assert "cudnn" in names  # of convolutions that are no products


def test_what_is_known_is_not_measured_again(network):
    _, table = _tuner(network, iter(lambda: 7.0, None)).choices(Table(), 1e9)
    again, same = _tuner(network, []).choices(table, 1e9)
    assert same == table
    assert set(again.values()) <= {way.name for way in LIBRARY}


def test_no_more_is_measured_than_there_is_time_for(network):
    clock = ManualClock()
    choices, table = _tuner(network, iter(lambda: 7.0, None), clock=clock).choices(Table(), 3.5)
    assert sum(len(ways) for ways in table.microseconds.values()) == 4
    assert clock.seconds == 4
    record = record_of(network)
    usual = {
        describe(record, step, JOB): way.name
        for step, (way, _) in zip(record.steps, unmeasured(record, ours=False), strict=True)
    }
    unknown = choices.keys() - table.microseconds.keys()
    assert unknown
    assert all(choices[name] == usual[name] for name in unknown)


def _wrong(operands):
    return operands.out.fill_(1.0)


def _failing(operands):
    raise RuntimeError("no compiler\nat all")


def test_what_a_library_returns_for_a_part_is_timed_with_its_copy(random_network):
    found = arranged(random_network(row("res2"), dtype=torch.float32), torch.float32)
    record, copies = record_of(found), []

    def measure(call):
        with OperationsSeen() as seen:
            call()
        copies.append(seen.names["copy_"])
        return 7.0

    tuner = Tuner(record, weights_of(found), JOB, False, measure, ManualClock().now)
    tuner.choices(Table(), 1e9)
    by_step = dict(zip((name for name, *_ in tuner._trials()), copies, strict=True))
    parts = [step for step in record.steps if step.out.channels < record.values[step.out.value].channels]
    assert len(parts) > 6
    assert all(by_step[describe(record, step, JOB)] for step in parts)


def _uncopied(operands):
    copied, operands.step = operands.step, replace(operands.step, copy=None)
    result = LIBRARY[0].run(operands)
    operands.step = copied
    return result


def test_a_way_that_leaves_the_copy_out_is_not_taken(random_network, monkeypatch, caplog):
    found = arranged(random_network(row("res2"), dtype=torch.float32), torch.float32)
    way = Way(name="fast", kind="convolve", takes=lambda step: step.copy is not None, run=_uncopied, ours=True)
    monkeypatch.setattr(choosing, "OURS", (way,))
    choices, _ = _tuner(found, iter(lambda: 7.0, None), ours=True).choices(Table(), 1e9)
    assert "fast" not in choices.values()
    assert "fast: BackendError: its result is off by nan" in caplog.text


@pytest.fixture
def grouped(random_network):
    return arranged(random_network(row("resnext"), dtype=torch.float32), torch.float32)


@pytest.mark.parametrize("microseconds", [13.0, 15.0])
def test_a_pair_is_one_step_where_that_is_faster_than_two(microseconds, grouped, monkeypatch):
    record = record_of(grouped)
    found = pairs(record)
    assert len(found) == 3  # blocks
    way = next(way for way in LIBRARY if way.kind == "pair")
    monkeypatch.setattr(choosing, "OURS", (replace(way, name="fused", ours=True),))
    monkeypatch.setitem(choosing._WAYS, "fused", choosing.OURS[0])
    # A step alone takes 7 us.
    names = {describe(record, pair, JOB) for pair in found.values()}
    table = Table(microseconds={name: {"cudnn_pair": 20.0, "fused": microseconds} for name in names})
    choices, table = _tuner(grouped, iter(lambda: 7.0, None), ours=True).choices(table, 1e9)
    together, chosen = measured(record, JOB, choices, setting)
    assert (names <= choices.keys()) == (microseconds < 14)
    assert len(record.steps) - len(together.steps) == (3 if microseconds < 14 else 0)
    assert sum(way.name == "fused" for way, _ in chosen) == (3 if microseconds < 14 else 0)
    # Without our kernels there is nothing to join with, whatever the table says of them.
    assert not names & _tuner(grouped, []).choices(table, 0.0)[0].keys()
    images = torch.randn(2, 3, *IMAGE_SIZE).contiguous(memory_format=torch.channels_last)
    (expected,) = Program(record, weights_of(grouped), unmeasured(record, ours=False))(images)
    (logits,) = Program(together, weights_of(grouped), chosen)(images)
    assert agreement(expected, logits).within(1e-5)


def test_a_pair_is_not_chosen_before_all_is_measured(grouped):
    record = record_of(grouped)
    name, *_ = (describe(record, pair, JOB) for pair in pairs(record).values())
    table = Table(microseconds={name: {"cudnn_pair": 1e-3}})
    choices, _ = _tuner(grouped, [], ours=True).choices(table, 0.0)
    assert name not in choices
    assert table.best(name) == 1e-3
    assert table.best(name, "another") is None


@pytest.mark.parametrize(("run", "reason"), [(_wrong, "its result is off by"), (_failing, "RuntimeError: no compiler")])
def test_a_way_that_is_wrong_or_fails_is_not_taken(run, reason, network, monkeypatch, caplog):
    way = Way(name="fast", kind="pool", takes=lambda step: True, run=run, ours=True)
    monkeypatch.setattr(choosing, "OURS", (way,))
    choices, table = _tuner(network, iter(lambda: 7.0, None), ours=True).choices(Table(), 1e9)
    assert "fast" not in choices.values()
    assert all("fast" not in ways for ways in table.microseconds.values())
    assert any(reason in record.message and "fast" in record.message for record in caplog.records)


def test_tables_are_kept_and_joined(tmp_path, caplog):
    path = tmp_path / "tuning" / "gpu.json"
    assert read_table(path) == Table()
    write_table(Table(microseconds={"a": {"cudnn": 1.0}}), path)
    write_table(Table(microseconds={"b": {"cudnn": 2.0, "res2:pixels=16": 1.5}}), path)
    assert read_table(path).microseconds.keys() == {"a", "b"}
    assert read_table(path).fastest("b") == "res2:pixels=16"
    assert read_table(path).fastest("c") is None
    path.write_text("{")
    assert read_table(path) == Table()
    assert "measured again" in caplog.text
    with pytest.raises(ResnexusError, match=r"cudnn of a: -1.0 us: expected more than 0"):
        Table(microseconds={"a": {"cudnn": -1.0}})


def test_a_table_is_read_joined_and_written_by_one_process_at_a_time(tmp_path, monkeypatch):
    path, held = tmp_path / "gpu.json", []

    def as_another_process_sees_it(own):
        def call(*arguments):
            with (
                pytest.raises(ResnexusError, match="another process holds"),
                claimed(tmp_path, busy="another process holds"),
            ):
                pass
            held.append(own.__name__)
            return own(*arguments)

        return call

    for name in ("read_table", "write_json"):
        monkeypatch.setattr(tuning, name, as_another_process_sees_it(getattr(tuning, name)))
    write_table(Table(microseconds={"a": {"cudnn": 1.0}}), path)
    assert held == ["read_table", "write_json"]
    thread = threading.Thread(target=write_table, args=(Table(microseconds={"b": {"cudnn": 2.0}}), path))
    with claimed(tmp_path, busy="another process holds"):
        thread.start()  # and waits
    thread.join(60)
    assert read_table(path).microseconds.keys() == {"a", "b"}


def test_a_plan_that_names_no_way_is_refused(network):
    record = record_of(network)
    with pytest.raises(BackendError, match="names no way for convolve"):
        measured(record, JOB, {}, setting)
    names = {describe(record, step, JOB): "aten_pool" for step in record.steps}
    with pytest.raises(BackendError, match="names no way for convolve"):
        measured(record, JOB, names, setting)


def test_a_setting_is_read_as_it_is_written():
    settings = pytest.importorskip("resnexus.acceleration.cuda.kernels.settings")
    way = next(way for way in choosing.OURS if way.name == "res2")
    product = settings.Product(pixels=32, outputs=64, depth=16, splits=2)
    tile = settings.Tile(pixels=8, channels=32)
    for given in (product, tile):
        name, _, text = label_of(way, given).partition(":")
        assert name == "res2"
        assert setting(way, text) == given
    for text in ("pixels=8", "pixels=x", "what"):
        with pytest.raises(BackendError, match=f"res2:{text} is no setting of a kernel"):
            setting(way, text)
    assert tuning.label_of(way, None) == "res2"
