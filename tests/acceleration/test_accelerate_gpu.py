"""The whole road to an engine for a GPU, on a machine that takes its processor for one."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch

import resnexus
from resnexus.acceleration.accelerate import accelerate
from resnexus.acceleration.backends import cuda as backend
from resnexus.acceleration.cuda import device, runner
from resnexus.acceleration.engine import BatchSizeWarning
from resnexus.acceleration.planning import digests, search
from resnexus.acceleration.planning.building import Builder
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import agreement


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """The CPU as a GPU: its events tell one millisecond for what our engine does, and two for the rest."""
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(runner, "place", lambda job: torch.device("cpu"))
    monkeypatch.setattr(backend, "free_bytes", lambda: 1 << 40)
    monkeypatch.setattr(backend, "on_the_device", lambda call: call() is None or 1.0)
    monkeypatch.setattr(backend, "have_kernels", lambda device: False)  # they need the GPU itself
    monkeypatch.setattr(Builder, "network_on", lambda self, device: self.network)
    monkeypatch.setattr("torch.export.passes.move_to_device_pass", lambda program, device: program)
    for module in (device, digests):
        monkeypatch.setattr(module, "identity", lambda: {"gpu": "a processor", "driver": "none"})

    def event_ms(call):
        call()
        return 1.0 if isinstance(call.func, runner.GraphRunner) else 2.0

    monkeypatch.setattr(search, "event_ms", event_ms)


def _quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return accelerate(*arguments, device="cuda", image_size=16, seconds=0.0, **options)


@pytest.mark.usefixtures("gpu")
def test_our_engine_is_planned_kept_and_opened_again(tiny, tiny_images, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "resnexus")
    options = {"precision": "fp16", "batch_sizes": (1, 8), "cache_dir": tmp_path / "engines", "backends": "cuda"}
    engine = _quiet(tiny, **options)
    assert (engine.device, engine.batch_sizes) == ("cuda", (1, 8))
    for size, plan in engine.plans.items():
        assert (plan.candidate.backend, plan.candidate.options["kernels"]) == ("cuda", "library")
        assert plan.ratio == 0.5
        assert plan.images == 8, size
        assert {trial.candidate.partition("(")[0] for trial in plan.trials} == {"torch", "cuda"}
        assert any("kernels=measured" in trial.candidate and trial.ratio for trial in plan.trials)
        # Our kernels cannot run here, which is said.
        assert any("kernels=ours" in trial.candidate and "needs Triton" in trial.note for trial in plan.trials)
    assert "kernels='ours' needs Triton" in caplog.text
    with pytest.warns(BatchSizeWarning, match="a batch of 4 was not planned for and runs as batches of 8, filled up"):
        logits = engine(tiny_images)
    with torch.no_grad():
        assert agreement(tiny(tiny_images), logits).within(5e-3)
    assert engine.device_bytes > 0
    assert f"on the GPU: {engine.device_bytes / 2**20:,.0f} MiB for weights and values" in engine.explain()
    again = _quiet(tiny, **options)
    assert again.plans == engine.plans
    assert torch.equal(again(tiny_images[:1]), engine(tiny_images[:1]))


@pytest.mark.usefixtures("gpu")
def test_bytes_go_to_the_graph_of_our_engine(smallest, tmp_path):
    options = {"precision": "fp32", "batch_sizes": 2, "cache_dir": tmp_path / "engines", "backends": "cuda"}
    preprocess = resnexus.Preprocess()
    engine, prepared = _quiet(smallest, pixels=preprocess, **options), _quiet(smallest, **options)
    assert engine.plans == prepared.plans
    assert (engine.takes_pixels, prepared.takes_pixels) == (True, False)
    assert isinstance(engine._runners[2], runner.GraphRunner)
    pixels = torch.randint(0, 256, (2, 16, 16, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    images = preprocess.normalise(pixels.numpy())
    expected = prepared(images)
    assert torch.equal(engine(pixels), expected)
    assert torch.equal(engine(pixels.permute(0, 3, 1, 2).numpy()), expected)
    with pytest.warns(BatchSizeWarning, match="a batch of 1 was not planned for"):
        assert agreement(expected[:1], engine(pixels[:1])).within(1e-6)
    assert engine(pixels[:0]).shape == (0, expected.shape[1])
    with pytest.raises(ResnexusError, match=r"images of torch.float32: .* takes uint8 from 0 to 255"):
        engine(images)
    with pytest.raises(ResnexusError, match=r"images of torch.uint8: .* accelerate\(pixels=\.\.\.\) opens an engine"):
        prepared(pixels.permute(0, 3, 1, 2))


@pytest.mark.thorough
@pytest.mark.usefixtures("gpu")
def test_a_plan_belongs_to_one_gpu(smallest, tmp_path, monkeypatch):
    options = {"precision": "fp32", "batch_sizes": 1, "cache_dir": tmp_path / "engines", "backends": "cuda"}
    _quiet(smallest, **options)
    assert len(list((tmp_path / "engines" / "plans").iterdir())) == 1
    _quiet(smallest, **options)
    assert len(list((tmp_path / "engines" / "plans").iterdir())) == 1
    monkeypatch.setattr(digests, "identity", lambda: {"gpu": "a processor", "driver": "another"})
    _quiet(smallest, **options)
    assert len(list((tmp_path / "engines" / "plans").iterdir())) == 2


@pytest.mark.usefixtures("gpu")
def test_no_int8_on_a_gpu(smallest, tiny_images, tmp_path):
    with pytest.raises(ResnexusError, match="no back end here runs int8 on cuda"):
        _quiet(smallest, precision="int8", calibration=tiny_images, cache_dir=tmp_path)
