"""Networks are timed in turns, and again where the machine was busy."""

from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError, create_model
from resnexus.benchmark.bench import Bench, usual_precisions
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.comparison import stopwatch as module
from resnexus.comparison.compare import _say_what_is_not_timed
from resnexus.comparison.stopwatch import TRIES, Timing, timed


class Machine:
    """Stands in for `benchmark.run.run`: gives what it is told for every call, network and batch size."""

    def __init__(self, busy):
        self.busy, self.calls = busy, []

    def __call__(self, networks, settings, *, with_peaks, title, progress):
        attempt = len(self.calls)
        self.calls.append((tuple(networks), settings.batch_sizes, title))
        bench = Bench(environment=environment(), settings=settings)
        yield bench
        yield replace(
            bench,
            cells=tuple(
                self.cell(model, precision, size, attempt)
                for size in settings.batch_sizes
                for model in networks
                for precision in settings.precisions
            ),
        )

    def cell(self, model, precision, size, attempt):
        p90 = self.busy.get((model, size, attempt), 1.1)
        return Cell(
            model=model, device="cpu", precision=precision, batch_size=size, engine="eager", image_size=224,
            median_ms=1.0 + attempt / 100, p10_ms=1.0, p90_ms=p90, repeats=3, rounds_ms=(1.0, 1.1),
        )  # fmt: skip


def settings(together=2, **options):
    return replace(Timing(precisions=("fp32",), batch_sizes=(1, 4)).settings(224, together), **options)


@pytest.fixture
def measured(monkeypatch, recorded):
    def measure(busy, names=("a", "b", "c"), **options):
        machine = Machine(busy)
        monkeypatch.setattr(module, "run", machine)
        cells = timed(names, settings(**options), title="timing", progress=recorded)
        return machine.calls, {(cell.model, cell.batch_size): cell for cell in cells}

    return measure


def test_a_quiet_machine_is_asked_once(measured, recorded):
    calls, cells = measured({})
    assert calls == [(("a", "b"), (1, 4), "timing"), (("c",), (1, 4), "timing")]
    assert list(cells) == [("a", 1), ("b", 1), ("a", 4), ("b", 4), ("c", 1), ("c", 4)]
    assert all(cell.rounds_ms == () for cell in cells.values())
    assert recorded.said == []


def test_what_was_timed_together_is_timed_again_together(measured, recorded):
    calls, cells = measured({("b", 4, 0): 50.0})
    again = "timing, again (2 of at most 3: the machine is busy)"
    assert calls[2:] == [(("a", "b"), (4,), again)]
    assert {key: cell.median_ms for key, cell in cells.items()} == {
        ("a", 1): 1.0, ("b", 1): 1.0, ("a", 4): 1.02, ("b", 4): 1.02, ("c", 1): 1.01, ("c", 4): 1.01,
    }  # fmt: skip
    assert recorded.said == []


def test_all_that_is_to_be_timed_again_is_one_stage(measured):
    calls, _ = measured({("b", 4, 0): 50.0, ("a", 1, 0): 2.0, ("c", 1, 1): 1.99})
    assert [call[:2] for call in calls[2:]] == [(("a", "b"), (1, 4))]


def test_a_machine_that_stays_busy_is_given_up_and_the_steadiest_counts(measured, recorded):
    calls, cells = measured({("a", 1, attempt): 10.0 - 3 * (attempt == 1) for attempt in range(9)}, names=("a",))
    assert len(calls) == TRIES == 3
    assert (cells["a", 1].p90_ms, cells["a", 1].median_ms) == (7.0, 1.01)
    assert recorded.said == ["timing: the machine stayed busy; 1 latency will be marked"]


def test_it_is_called_by_the_engine_that_ran_it(rows, recorded):
    networks = {row.name: create_model(row, num_classes=2, in_chans=1).eval() for row in rows}
    options = Timing(precisions=("fp32",), batch_sizes=(1, 2), rounds=2).settings(8, together=2)
    cells = timed(networks, options, title="timing the trained networks", progress=recorded)
    assert [(cell.model, cell.batch_size, cell.engine, cell.image_size) for cell in cells] == [
        (name, size, "eager", 8) for size in (1, 2) for name in ("plain", "split")
    ]
    assert recorded.stages[0][0] == "timing the trained networks"


@pytest.mark.parametrize(("supported", "precisions"), [(True, ("fp32", "bf16")), (False, ("fp32",))])
def test_bfloat16_is_timed_where_pytorch_has_kernels_for_it(supported, precisions, monkeypatch, recorded):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert Timing().settings(224, together=1).precisions == usual_precisions("cpu") == precisions
    assert Timing(precisions=("bf16",)).settings(224, together=1).precisions == ("bf16",)
    assert usual_precisions("cuda") == ("fp32", "bf16")
    for timing in (Timing(), Timing(precisions=("fp32",))):
        _say_what_is_not_timed(timing, recorded)
    assert [said[:32] for said in recorded.said] == ["latency is timed in fp32 alone: "] * (not supported)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ("fp16",)}, "cannot time in fp16: engine 'eager' does not run fp16 on cpu"),
        ({"precisions": ("fp8",)}, "unknown precision 'fp8'"),
        ({"batch_sizes": (0,)}, "batch size 0: expected a whole number of at least 1"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"rounds": 0}, "rounds=0"),
    ],
)
def test_what_cannot_be_timed_is_told_at_once(options, message):
    with pytest.raises(ResnexusError, match=message):
        Timing(**options)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ResnexusError, match="device 'cuda': PyTorch sees no GPU here"):
        Timing(device="cuda")
