from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import resnexus
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.backends.torch import using_threads
from resnexus.architectures.network import Network
from resnexus.benchmark.peers.paddle_inference import build_paddle, load_paddle
from resnexus.parity.agreement import FLOAT32_TOLERANCE, agreement

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it misses a compiler cache
    pytest.importorskip("paddle", reason="paddlepaddle is optional: pip install 'resnexus[peers]'")

_SHAPE: dict[str, Any] = {"depths": (1, 1), "out_width": 32, "stem_width": 16}
_VD: dict[str, Any] = {"stem": "deep", "shortcut": "pool"}
ROWS = {
    "plain": {"block": "bottleneck", "width": 8},
    "basic, small stem": {"block": "basic", "width": 32, "stem": "small"},
    "grouped": {"block": "bottleneck", "width": 4, "groups": 4},
    "grouped, vd": {"block": "bottleneck", "width": 4, "groups": 4, **_VD},
    "gated, deep stem": {"block": "bottleneck", "width": 2, "groups": 8, "se_reduction": 4, "stem": "deep"},
    "res2": {"block": "res2", "width": 4, "scale": 4, "depths": (2, 1)},
    "res2, gated, vd": {"block": "res2", "width": 4, "scale": 3, "se_reduction": 4, **_VD},
    "res2, authors": {"block": "res2", "width": 4, "scale": 4, "cascade": "authors"},
}


@pytest.fixture
def tiny_network(random_network) -> Callable[[str], Network]:
    def build(kind: str) -> Network:
        return random_network(resnexus.Architecture(name="tiny", **(_SHAPE | ROWS[kind])), dtype=torch.float32)

    return build


def _images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def plain(random_network) -> Network:
    """One block: to export more takes seconds."""
    row = resnexus.Architecture(name="tiny", **(_SHAPE | ROWS["plain"] | {"depths": (1,)}))
    return random_network(row, dtype=torch.float32)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ROWS)
def test_it_computes_what_the_network_computes(kind, tiny_network, tmp_path, capfd):
    network = tiny_network(kind)
    build_paddle(network, Job(batch_size=1, image_size=(67, 45)), tmp_path)
    for size in (1, 3):
        runner = load_paddle(tmp_path, Job(batch_size=size, image_size=(67, 45)))
        images = _images(size, 3, 67, 45)
        logits = runner(images)
        kept = logits.clone()
        runner(-images)
        assert torch.equal(logits, kept)
        with torch.inference_mode():
            assert agreement(network(images), logits).within(FLOAT32_TOLERANCE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.thorough  # seconds of Paddle's compiler
def test_other_channels_and_no_classes(tmp_path):
    row = resnexus.Architecture(name="tiny", **(_SHAPE | ROWS["plain"]))
    network = resnexus.create_model(row, in_chans=1, num_classes=0).eval()
    job = Job(batch_size=2, in_chans=1, image_size=(32, 32))
    build_paddle(network, job, tmp_path)
    images = _images(2, 1, 32, 32)
    with torch.inference_mode():
        assert agreement(network(images), load_paddle(tmp_path, job)(images)).within(FLOAT32_TOLERANCE)


def test_bfloat16_is_rounded_but_close(tiny_network, tmp_path):
    import paddle

    if not paddle.base.core.supports_bfloat16():
        pytest.skip("needs AVX-512")
    network = tiny_network("res2, gated, vd")
    build_paddle(network, Job(batch_size=3, image_size=(64, 64), precision="bf16"), tmp_path)
    images = _images(3, 3, 64, 64)
    with torch.inference_mode():
        reference = network(images)
    logits = load_paddle(tmp_path, Job(batch_size=3, image_size=(64, 64), precision="bf16"))(images)
    assert logits.dtype == torch.float32
    assert 1e-4 < agreement(reference, logits).max_rel < 0.05


@pytest.mark.slow
def test_it_runs_with_onednn_and_fused(plain, tmp_path):
    """Paddle's own log, from a process of its own, counts what its passes fused."""
    job = Job(batch_size=1, image_size=(64, 64))
    build_paddle(plain, job, tmp_path)
    code = (
        "import sys, torch\n"
        "from contextlib import nullcontext\n"
        "from pathlib import Path\n"
        "from resnexus.benchmark.peers import paddle_inference as module\n"
        "from resnexus.acceleration.backends.contract import Job\n"
        "import paddle.inference as inference\n"
        "module._quiet = nullcontext\n"
        "inference.Config.disable_glog_info = lambda config: None\n"
        "module.load_paddle(Path(sys.argv[1]), Job(batch_size=1, image_size=(64, 64)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    log = (done.stdout + done.stderr).splitlines()
    assert any("oneDNN v" in line for line in log)
    start = next(index for index, line in enumerate(log) if "[conv2d_bn_onednn_fuse_pass]" in line)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in plain.modules())
    assert f"[{convolutions}] subgraphs" in log[start + 1]


def test_settings_and_threads(plain, tmp_path, monkeypatch):
    import paddle

    configs, create = [], paddle.inference.create_predictor
    monkeypatch.setattr(
        paddle.inference, "create_predictor", lambda config: (configs.append(config), create(config))[1]
    )
    job = Job(batch_size=1, image_size=(64, 64), threads=2)
    build_paddle(plain, job, tmp_path)
    runner = load_paddle(tmp_path, job)
    (config,) = configs
    assert config.onednn_enabled()
    assert config.ir_optim()
    assert config.new_ir_enabled()
    assert config.cpu_math_library_num_threads() == 2

    predictor, seen = runner.predictor, []

    class Watched:
        def run(self) -> None:
            seen.append(torch.get_num_threads())
            predictor.run()

    runner.predictor = Watched()
    with using_threads(1):
        runner(_images(1, 3, 64, 64))
        assert torch.get_num_threads() == 1
    assert seen == [2]


def test_neither_framework_is_left_changed(plain, tmp_path):
    import paddle

    job = Job(batch_size=1, image_size=(64, 64))
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    build_paddle(plain, job, tmp_path)
    load_paddle(tmp_path, job)(_images(1, 3, 64, 64))
    assert paddle.in_dynamic_mode()
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inference.json", "inference.pdiparams"]


def test_an_operation_that_is_not_known_is_named(plain, tmp_path):
    import paddle

    plain.stem.append(nn.GELU())
    with pytest.raises(BackendError, match=r"no translation of aten\.gelu\.default .*known are .*aten\.conv2d"):
        build_paddle(plain, Job(batch_size=1, image_size=(64, 64)), tmp_path)
    assert paddle.in_dynamic_mode()
    assert not list(tmp_path.iterdir())


class _Cut(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, 1:]


class _ColumnMean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(3, keepdim=True)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("layer", "message"),
    [(_Cut(), "no translation of a slice from 1 to"), (_ColumnMean(), r"a mean over the axes \[3\]")],
)
def test_arguments_that_are_not_known_are_refused(plain, layer, message, tmp_path):
    plain.stem.append(layer)
    with pytest.raises(BackendError, match=message):
        build_paddle(plain, Job(batch_size=1, image_size=(64, 64)), tmp_path)


@pytest.mark.parametrize("job", [{"precision": "int8"}, {"precision": "fp16"}, {"device": "cuda"}])
def test_other_jobs_are_refused(plain, job, tmp_path):
    with pytest.raises(BackendError, match=r"runs fp32 and bf16 on cpu here, not (int8|fp16|fp32) on (cpu|cuda)"):
        build_paddle(plain, Job(batch_size=1, image_size=(64, 64), **job), tmp_path)
    with pytest.raises(BackendError, match="runs fp32 and bf16 on cpu here"):
        load_paddle(tmp_path, Job(batch_size=1, image_size=(64, 64), **job))


def test_bfloat16_is_refused_where_paddle_would_ignore_it(plain, tmp_path, monkeypatch):
    import paddle

    monkeypatch.setattr(paddle.base.core, "supports_bfloat16", lambda: False)
    with pytest.raises(BackendError, match="needs a processor with AVX-512 for bf16"):
        build_paddle(plain, Job(batch_size=1, image_size=(64, 64), precision="bf16"), tmp_path)


def test_without_paddle_the_error_names_the_extra(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle", None)
    with pytest.raises(BackendError, match=r"pip install 'resnexus\[peers\]'"):
        build_paddle(plain, Job(batch_size=1, image_size=(64, 64)), tmp_path)
