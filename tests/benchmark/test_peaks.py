import itertools
from types import SimpleNamespace

import pytest
import torch

from resnexus import ResnexusError, complexity
from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.native import product
from resnexus.benchmark import peaks
from resnexus.benchmark.peaks import Peak, floor_ms, peak

SIDE, COPIED = 32, 4096


class Clock:
    """Every fifth measurement takes 1 ms, the others 2 ms."""

    def __init__(self):
        self.now, self.reads = 0.0, 0

    def __call__(self):
        self.reads += 1
        if self.reads % 2 == 0:
            self.now += 1e-3 if self.reads % 10 == 0 else 2e-3
        return self.now


@pytest.fixture(autouse=True)
def _small_and_on_a_clock_of_its_own(monkeypatch):
    monkeypatch.setattr(peaks, "time", SimpleNamespace(perf_counter=Clock()))
    monkeypatch.setattr(peaks, "_SIDE", {"cpu": SIDE})
    monkeypatch.setattr(peaks, "_COPIED", {"cpu": COPIED})
    monkeypatch.setattr(peaks, "backend", lambda name: SimpleNamespace(precisions=lambda device: ("fp32",)))
    monkeypatch.setattr(product, "chain", lambda folder, threads: lambda images: None)
    monkeypatch.setattr(product, "macs", lambda threads: 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_peak_is_the_best_of_several_and_a_call_the_median(precision):
    found = peak("cpu", precision, 1)
    assert (found.device, found.precision) == ("cpu", precision)
    assert found.tflops == pytest.approx(2 * SIDE**3 / 1e-3 / 1e12)
    assert found.gbytes_s == pytest.approx(2 * COPIED / 1e-3 / 1e9)
    assert found.call_us == pytest.approx(2000)


def test_a_product_that_takes_long_is_not_repeated(monkeypatch):
    clock = itertools.count(0, 3)  # seconds
    monkeypatch.setattr(peaks, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    calls = []
    monkeypatch.setattr(torch, "_int_mm", lambda *_: calls.append(1))
    assert peak("cpu", "int8", 1).tflops == pytest.approx(2 * SIDE**3 / 3 / 1e12)
    assert len(calls) == 1


def test_the_peak_is_that_of_whoever_multiplies_faster(monkeypatch):
    monkeypatch.setattr(product, "macs", lambda threads: 10**9 * threads)
    assert peak("cpu", "fp32", 1).tflops == pytest.approx(2.0)


def test_kernels_that_cannot_be_compiled_do_not_count_for_the_peak(monkeypatch, caplog):
    def fails(folder, threads):
        raise BackendError("no such instruction")

    monkeypatch.setattr(product, "chain", fails)
    assert peak("cpu", "fp32", 1).tflops == pytest.approx(2 * SIDE**3 / 1e-3 / 1e12)
    assert "our own kernels do not count for the peak: no such instruction" in caplog.text


def test_the_floor_is_what_binds():
    cost = complexity("ResNeXt50_32x4d")
    slow_product = Peak(device="cpu", precision="fp32", tflops=0.1, gbytes_s=1e6, call_us=0.0)
    assert floor_ms("ResNeXt50_32x4d", slow_product, 8, 224) == pytest.approx(8 * cost.gflops / 100 * 1e3)
    slow_memory = Peak(device="cpu", precision="bf16", tflops=1e6, gbytes_s=10.0, call_us=0.0)
    moved = 2 * (cost.parameters + 3 * 224 * 224)
    assert floor_ms("ResNeXt50_32x4d", slow_memory, 1, 224) == pytest.approx(moved / 10e9 * 1e3)
    slow_call = Peak(device="cuda", precision="bf16", tflops=1e6, gbytes_s=1e6, call_us=5e6)
    assert floor_ms("ResNeXt50_32x4d", slow_call, 1, 224) == pytest.approx(5000)
    unknown = Peak(device="cpu", precision="int8", tflops=None, gbytes_s=10.0, call_us=1.0)
    assert floor_ms("ResNeXt50_32x4d", unknown, 1, 224) is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tflops", 0.0, "tflops=0.0: expected more than 0"),
        ("gbytes_s", float("inf"), "gbytes_s=inf: expected more than 0"),
        ("call_us", -1.0, "call_us=-1.0: expected at least 0"),
        ("call_us", float("nan"), "call_us=nan: expected at least 0"),
    ],
)
def test_a_peak_holds_what_can_have_been_measured(field, value, message):
    options = {"device": "cpu", "precision": "fp32", "tflops": None, "gbytes_s": 1.0, "call_us": 0.0, field: value}
    with pytest.raises(ResnexusError, match=message):
        Peak(**options)
