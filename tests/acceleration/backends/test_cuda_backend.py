from __future__ import annotations

import pytest
import torch

from resnexus.acceleration.backends import cuda as module
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.backends.cuda import BACKEND, check_room
from resnexus.acceleration.backends.memory import OutOfMemoryError
from resnexus.acceleration.cuda import device, tuning
from resnexus.acceleration.cuda.files import read_choices, write_choices
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import agreement, map_agreement
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection

LIBRARY = {"kernels": "library"}
JOB = Job(batch_size=2, image_size=(16, 16))  # on the CPU, where the libraries have their doubles


@pytest.fixture
def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(7))


def test_a_network_is_built_into_files_that_serve_any_batch_size(tiny, images, tmp_path):
    BACKEND.build(gate_before_projection(tiny), JOB, LIBRARY, tmp_path, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["steps.json", "weights.safetensors"]
    other = Job(batch_size=1, image_size=(16, 16))
    assert BACKEND.built_for(JOB, LIBRARY) == BACKEND.built_for(other, {"kernels": "ours"})
    with torch.no_grad():
        expected = tiny(images)
    assert agreement(expected, BACKEND.load(tmp_path, JOB, LIBRARY)(images)).within(1e-5)
    assert agreement(expected[:1], BACKEND.load(tmp_path, other, LIBRARY)(images[:1])).within(1e-5)


def test_feature_maps_are_contiguous(smallest, random_network, images, tmp_path):
    network = random_network(
        smallest.architecture, dtype=torch.float32, features_only=True, out_indices=(1, 0), num_classes=None
    )
    BACKEND.build(fold_batch_norm(network), JOB, LIBRARY, tmp_path, None)
    maps = BACKEND.load(tmp_path, JOB, LIBRARY)(images)
    with torch.no_grad():
        assert map_agreement((1, 0), network(images), maps).within(1e-5)
    assert all(part.is_contiguous() and part.dtype == torch.float32 for part in maps)


@pytest.mark.parametrize("options", [{}, {"kernels": "all"}, {"kernels": "library", "more": "1"}])
def test_options_that_it_does_not_know(options, tiny, tmp_path):
    for use in (
        lambda: BACKEND.build(tiny, JOB, options, tmp_path, None),
        lambda: BACKEND.built_for(JOB, options),
        lambda: BACKEND.load(tmp_path, JOB, options),
    ):
        with pytest.raises(BackendError, match=r"back end 'cuda'.*kernels"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_what_it_computes_in(monkeypatch):
    assert BACKEND.precisions("cpu") == ()
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    assert BACKEND.precisions("cuda") == ("fp32", "bf16", "fp16")
    monkeypatch.setattr(module, "has_gpu", lambda: False)
    assert BACKEND.precisions("cuda") == ()


def test_without_a_gpu_or_without_triton_it_says_so(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    job = Job(batch_size=2, image_size=(16, 16), device="cuda")
    with pytest.raises(ResnexusError, match="PyTorch sees no GPU here"):
        BACKEND.build(fold_batch_norm(tiny), job, LIBRARY, tmp_path, None)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(BackendError, match="kernels='ours' needs Triton on cpu, which cannot run here"):
        BACKEND.build(fold_batch_norm(tiny), JOB, {"kernels": "ours"}, tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_is_kept_with_the_network_and_for_others(tiny, images, monkeypatch, tmp_path):
    measured = {"kernels": "measured"}
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(device, "identity", lambda: {"gpu": "none"})
    calls = []
    monkeypatch.setattr(module, "on_the_device", lambda call: calls.append(call()) or float(len(calls)))
    assert BACKEND.built_for(JOB, measured) == {"precision": "fp32", "measured_for": 2}
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        BACKEND.build(fold_batch_norm(tiny), JOB, measured, folder, None)
        with torch.no_grad():
            assert agreement(tiny(images), BACKEND.load(folder, JOB, measured)(images)).within(1e-5)
    assert read_choices(tmp_path / "first") == read_choices(tmp_path / "second")
    (table,) = (tmp_path / "home" / "engines" / "tuning").glob("*.json")
    found = tuning.read_table(table).microseconds
    assert sum(map(len, found.values())) == len(calls)  # the second network measured nothing
    assert found.keys() == read_choices(tmp_path / "first").keys()
    write_choices({}, tmp_path / "first")
    with pytest.raises(BackendError, match=r"names no way for .*: build it again"):
        BACKEND.load(tmp_path / "first", JOB, measured)
    (tmp_path / "second" / "choices.json").unlink()
    with pytest.raises(BackendError, match=r"the choices in .* are damaged"):
        BACKEND.load(tmp_path / "second", JOB, measured)


def test_what_cannot_fit_is_refused_before_it_is_tried():
    job = Job(batch_size=4096, precision="fp16", device="cuda")
    check_room(10 << 30, job, 11 << 30)
    with pytest.raises(
        OutOfMemoryError,
        match=r"for 4096 images of 224x224 in fp16 on cuda: about 12.0 GiB are needed and 11.0 GiB are left; use a",
    ):
        check_room(12 << 30, job, 11 << 30)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("kernels", ["library", "ours"])
def test_on_a_gpu(kernels, precision, tiny, images, tmp_path):
    job, options = Job(batch_size=2, image_size=(16, 16), precision=precision, device="cuda"), {"kernels": kernels}
    BACKEND.build(gate_before_projection(tiny), job, options, tmp_path, None)
    with torch.no_grad():
        expected = tiny(images)
    tolerance = {"fp32": 1e-5, "bf16": 5e-2, "fp16": 5e-3}[precision]
    runner = BACKEND.load(tmp_path, job, options)
    assert agreement(expected, runner(images.cuda())).within(tolerance)
    assert runner(images).device.type == "cpu"
