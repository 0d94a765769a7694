from __future__ import annotations

import os

import pytest
import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.torch import BACKEND, using_threads
from resnexus.parity.agreement import agreement
from resnexus.rewrites.table import applicable, rewritten


def _run(network, images, folder, mode, precision="fp32", rewrites=()):
    job = Job(batch_size=len(images), image_size=tuple(images.shape[2:]), precision=precision, threads=1)
    BACKEND.build(rewritten(network, rewrites), job, {"mode": mode}, folder, None)
    runner = BACKEND.load(folder, job, {"mode": mode})
    first, second = runner(images), runner(images.flip(0))
    with torch.inference_mode():
        expected = network(images)
    assert torch.allclose(first, second.flip(0), rtol=1e-3, atol=1e-3)
    assert first.dtype == torch.float32
    second += 1  # refused for a tensor made in inference mode
    return agreement(expected, first)


@pytest.mark.parametrize("mode", ["plain", "eager"])
def test_programs_agree(mode, tiny, tiny_images, tmp_path):
    assert _run(tiny, tiny_images, tmp_path, mode).within(1e-6)


def test_bfloat16_agrees_as_far_as_it_can(tiny, tiny_images, tmp_path):
    found = _run(tiny, tiny_images, tmp_path, "eager", "bf16")
    assert 1e-5 < found.max_rel < 0.05


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_compiled_packages_agree_and_leave_nothing_behind(precision, smallest, tiny_images, tmp_path):
    folder = tmp_path / "built"
    folder.mkdir()
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


def test_what_it_computes_in():
    assert BACKEND.precisions("cpu") == ("fp32", "bf16")
    assert BACKEND.precisions("cuda") == ()
