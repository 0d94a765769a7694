from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from resnexus.acceleration.backends import contract
from resnexus.acceleration.backends.contract import BackendError, Candidate, Job
from resnexus.acceleration.backends.memory import OutOfMemoryError, memory_errors
from resnexus.acceleration.backends.registry import BACKENDS, backend, usable_backends
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import map_agreement
from resnexus.rewrites.folding import fold_batch_norm

OPTIONAL = {"openvino", "onnxruntime", "onnx", "onnxscript", "nncf"}


@pytest.fixture
def only_torch(monkeypatch):
    monkeypatch.setattr(contract, "is_installed", lambda package: package not in OPTIONAL)
    monkeypatch.setenv("CXX", "no-such-compiler")


def test_with_nothing_optional_installed_torch_is_left(only_torch):
    assert [entry.name for entry in usable_backends("cpu", "fp32")] == ["torch"]
    assert [entry.name for entry in usable_backends("cpu", "bf16")] == ["torch"]


def test_what_is_missing_is_named_with_its_extra(only_torch):
    with pytest.raises(
        BackendError, match=r"'openvino' needs openvino for fp32, not installed: pip install 'resnexus\[export\]'"
    ):
        usable_backends("cpu", "fp32", ["openvino"])
    with pytest.raises(
        BackendError,
        match=r"no back end here runs int8 on cpu; not installed: nncf, onnx, onnxruntime, onnxscript, openvino",
    ):
        usable_backends("cpu", "int8")


def test_a_back_end_that_cannot_is_refused():
    pytest.importorskip("onnxruntime", reason="onnxruntime is optional")
    with pytest.raises(BackendError, match=r"'onnxruntime' does not run bf16 on cpu"):
        usable_backends("cpu", "bf16", ["onnxruntime"])
    with pytest.raises(BackendError, match=r"backends=\(\): name at least one of native, torch, openvino, onnxruntime"):
        usable_backends("cpu", "fp32", [])


def test_unknown_back_ends_name_the_nearest():
    with pytest.raises(ResnexusError, match=r"unknown back end 'openvin': did you mean 'openvino'\?"):
        backend("openvin")


def test_names_are_their_own():
    assert [backend(name).name for name in BACKENDS] == list(BACKENDS)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_failed_allocations_become_one_error(error):
    with (
        pytest.raises(OutOfMemoryError, match=r"not enough memory for 8 images of 16x32 in fp32 on cpu: use a smaller"),
        memory_errors(Job(batch_size=8, image_size=(16, 32))),
    ):
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match=r"^shape$"), memory_errors(Job(batch_size=1)):
        raise RuntimeError("shape")


def test_candidates_read_as_sentences():
    candidate = Candidate("openvino", ("fold_batch_norm", "pack_groups_16"), {"parts": "2"})
    assert str(candidate) == "openvino(parts=2) on fold_batch_norm + pack_groups_16"
    assert str(Candidate("torch", (), {"mode": "plain"})) == "torch(mode=plain) on the network as it is"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("torch", {"mode": "eager"}),
        pytest.param("openvino", {"parts": "2"}, marks=pytest.mark.thorough),
        pytest.param("onnxruntime", {}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_maps_of_every_library(name, options, random_network, smallest, tmp_path):
    pytest.importorskip(name, reason=f"{name} is optional: pip install 'resnexus[export]'")
    row = replace(smallest.architecture, depths=(1, 1), shortcut="pool")
    maps = {"features_only": True, "out_indices": (2, 0), "output_stride": 1, "num_classes": None}
    network = fold_batch_norm(random_network(row, dtype=torch.float32, **maps))
    job, entry, images = Job(batch_size=2, image_size=(9, 13)), backend(name), torch.randn(2, 3, 9, 13)
    entry.build(network, job, options, tmp_path, None)
    runner = entry.load(tmp_path, job, options)
    found = runner(images)
    with torch.inference_mode():
        assert map_agreement((2, 0), network(images), found).within(1e-5)
    assert all(part.is_contiguous() and part.dtype == torch.float32 for part in found)
    kept = [part.clone() for part in found]
    runner(-images)
    assert all(torch.equal(part, before) for part, before in zip(found, kept, strict=True))  # they are the caller's own
    if "parts" in options:
        whole = entry.load(tmp_path, job, {})(images)
        assert map_agreement((2, 0), kept, whole).within(1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "precision"),
    [("torch", "bf16"), pytest.param("openvino", "int8", marks=pytest.mark.slow)],  # which imports NNCF
)
@pytest.mark.filterwarnings("ignore")
def test_maps_in_fewer_bits(name, precision, random_network, smallest, tmp_path):
    for package in {"torch": (), "openvino": ("openvino", "nncf")}[name]:
        pytest.importorskip(package, reason=f"{package} is optional: pip install 'resnexus[export]'")
    row = replace(smallest.architecture, depths=(1, 1), shortcut="pool")
    maps = {"features_only": True, "out_indices": (2, 0), "output_stride": 1, "num_classes": None}
    network = fold_batch_norm(random_network(row, dtype=torch.float32, **maps))
    job, images = Job(batch_size=2, image_size=(9, 13), precision=precision), torch.randn(16, 3, 9, 13)
    entry, options = backend(name), {"mode": "eager"} if name == "torch" else {}
    entry.build(network, job, options, tmp_path, images if precision == "int8" else None)
    found = entry.load(tmp_path, job, options)(images[:2])
    assert all(part.dtype == torch.float32 for part in found)
    with torch.inference_mode():
        judged = map_agreement((2, 0), network(images[:2]), found).maps
    assert [part.index for part in judged] == [2, 0]
    for part in judged:
        assert part.max_rel > 1e-4  # it does compute in fewer bits
        assert part.cosine > (0.9999 if precision == "bf16" else 0.97)
