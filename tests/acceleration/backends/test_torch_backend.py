from __future__ import annotations

import os
import threading
from functools import partial
from operator import itemgetter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.backends.torch import BACKEND, using_threads
from resnexus.acceleration.planning.building import built_once
from resnexus.acceleration.planning.builds import Held
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.parity.agreement import agreement
from resnexus.rewrites.table import applicable, rewritten
from tests.sampled import sampled


def _run(network, images, folder, mode, precision="fp32", rewrites=()):
    job = Job(batch_size=len(images), image_size=tuple(images.shape[2:]), precision=precision, threads=1)
    BACKEND.build(rewritten(network, rewrites), job, {"mode": mode}, folder, None)
    held = Held(folder)
    runner = BACKEND.load(held.path, job, {"mode": mode})
    del held
    folder.rename(folder.with_name("elsewhere"))  # what is loaded needs its files no longer
    first, second = runner(images), runner(images.flip(0))
    folder.with_name("elsewhere").rename(folder)
    with torch.inference_mode():
        expected = network(images)
    assert torch.allclose(first, second.flip(0), rtol=1e-3, atol=1e-3)
    assert first.dtype == torch.float32
    second += 1  # refused for a tensor made in inference mode
    return agreement(expected, first)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "built").mkdir()
    return tmp_path / "built"


@pytest.mark.parametrize("mode", ["plain", "eager"])
def test_programs_agree(mode, smallest, tiny_images, folder):
    assert _run(smallest, tiny_images, folder, mode).within(1e-6)


@pytest.mark.thorough
def test_bfloat16_agrees_as_far_as_it_can(tiny, tiny_images, folder):
    found = _run(tiny, tiny_images, folder, "eager", "bf16")
    assert 1e-5 < found.max_rel < 0.05


@pytest.mark.slow  # the C++ compiler alone takes 13 seconds
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.filterwarnings("ignore")
def test_compiled_packages_agree_and_leave_nothing_behind(precision, smallest, tiny_images, folder, tmp_path):
    found = _run(smallest, tiny_images, folder, "compiled", precision, applicable(smallest.architecture))
    assert found.within(1e-5 if precision == "fp32" else 0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["built"]
    assert [path.name for path in folder.iterdir()] == ["compiled.pt2"]
    # Unset, as it was, or PyTorch's own by now; never the folder that is gone.
    assert str(tmp_path) not in os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), using_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_threads_are_put_back_to_what_no_other_thread_has_set():
    before, found = torch.get_num_threads(), []
    entered = threading.Event()

    def other():
        entered.wait(60)
        with using_threads(before + 2):
            found.append(torch.get_num_threads())
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    thread.start()
    with using_threads(before + 1):
        entered.set()
        thread.join(0.2)  # time to go wrong
        assert found == []
    thread.join(60)
    assert found == [before + 2, before]
    assert torch.get_num_threads() == before


def test_a_full_disk_does_not_end_the_process(smallest, tmp_path):
    resource = pytest.importorskip("resource", reason="file sizes are not limited here")
    job = Job(batch_size=1, image_size=(16, 16))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit of file sizes fails in the same place as a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(NoSpaceError, match=rf"no space left on the disk of {tmp_path}: make room there"):
            built_once(tmp_path / "built", partial(BACKEND.build, smallest, job, {"mode": "plain"}, calibration=None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"mode": "fast"}, {"mode": "plain", "more": "1"}])
def test_options_that_it_does_not_know(options, smallest, tmp_path):
    job = Job(batch_size=1, image_size=(16, 16))
    for use in (
        lambda: BACKEND.build(smallest, job, options, tmp_path, None),
        lambda: BACKEND.built_for(job, options),
        lambda: BACKEND.load(tmp_path, job, options),
    ):
        with pytest.raises(BackendError, match=r"back end 'torch'.*mode"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_what_it_computes_in(monkeypatch):
    assert BACKEND.precisions("cpu") == ("fp32", "bf16")
    assert BACKEND.precisions("mps") == ()
    for there, found in ((True, ("fp32", "bf16", "fp16")), (False, ())):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert BACKEND.precisions("cuda") == found


class _Rounding(TorchDispatchMode):
    """Notes of every convolution whether products of float32 keep all their bits."""

    def __init__(self):
        super().__init__()
        self.exact = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function.overloadpacket in (torch.ops.aten.conv2d, torch.ops.aten.convolution):
            exact = torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
            self.exact.append(exact)
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize(
    ("mode", "precision", "kept"),
    sampled([("plain", "fp16", True), ("eager", "fp32", True), ("eager", "bf16", False)], ["fp16"], itemgetter(1)),
)
def test_float32_keeps_its_bits_on_a_gpu(mode, precision, kept, smallest, folder, monkeypatch):
    monkeypatch.setattr("torch.export.passes.move_to_device_pass", lambda program, device: program)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # PyTorch's own default
    for device, exact in (("cpu", False), ("cuda", kept)):
        job = Job(batch_size=1, image_size=(16, 16), precision=precision, device=device, threads=1)
        (folder / device).mkdir()
        BACKEND.build(smallest, job, {"mode": mode}, folder / device, None)
        runner = BACKEND.load(folder / device, job, {"mode": mode})
        with _Rounding() as seen:
            runner(torch.zeros(job.shape))
        assert seen.exact
        assert set(seen.exact) == {exact}


def test_what_is_compiled_is_for_the_cpu(smallest, tmp_path):
    job, options = Job(batch_size=1, image_size=(16, 16), device="cuda"), {"mode": "compiled"}
    for use in (
        lambda: BACKEND.build(smallest, job, options, tmp_path, None),
        lambda: BACKEND.load(tmp_path, job, options),
    ):
        with pytest.raises(BackendError, match=r"mode=.compiled. is for the CPU, not cuda: take .eager."):
            use()
