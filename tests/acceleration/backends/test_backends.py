from __future__ import annotations

import subprocess
import sys

import pytest

from resnexus.acceleration.backends import contract
from resnexus.acceleration.backends.contract import BackendError, Candidate, Job
from resnexus.acceleration.backends.memory import OutOfMemoryError, memory_errors
from resnexus.acceleration.backends.registry import BACKENDS, backend, usable_backends
from resnexus.errors import ResnexusError

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


def test_importing_loads_nothing_optional():
    names = [*OPTIONAL, "pooch", "pydantic", "platformdirs", "torchvision"]
    code = (
        "import sys; import resnexus.acceleration.accelerate, resnexus.rewrites.table;"
        f"print([name for name in {names} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
