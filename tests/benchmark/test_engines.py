import warnings
from dataclasses import replace

import pytest
import torch

from resnexus import Architecture, ResnexusError, architecture, create_model
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.benchmark.engines import ENGINES, engine, quick_engines
from resnexus.benchmark.peers.openers import TIMM
from resnexus.benchmark.workload import Workload
from resnexus.parity.agreement import agreement
from resnexus.parity.golden import golden, golden_images, golden_network

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16, se_reduction=4
)
JOB = Job(batch_size=2, image_size=(16, 16), threads=1)


@pytest.fixture
def workload(tmp_path):
    torch.manual_seed(3)
    network = create_model(ROW, num_classes=7).eval()
    return Workload(network, tmp_path, cache_dir=tmp_path / "plans", backends=("openvino",), seconds=0.05)


# Each takes up to half a minute to open; or seconds, and is compared in the tests of its back end or peer.
SLOW = {"compile_max_autotune", "aotinductor", "openvino", "onnxruntime", "paddle"}
ELSEWHERE = {"compile", "compile_frozen", "resnexus"}  # opened and compared in other tests, here and in test_run.py


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(row.name, marks=[pytest.mark.slow] if row.name in SLOW else [])
        for row in ENGINES.values()
        if "cpu" in row.precisions and row.networks is None and row.name not in ELSEWHERE
    ],
)
def test_every_engine_of_the_cpu_computes_the_same(name, workload):
    row = engine(name)
    if row.obstacle("tiny", "cpu", "fp32"):
        pytest.skip(row.obstacle("tiny", "cpu", "fp32"))
    images = torch.randn(JOB.shape, generator=torch.Generator().manual_seed(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = row.open(workload, JOB)(images)
    with torch.inference_mode():
        assert agreement(workload.network(images), found).within(1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_autotuning_is_not_reported_into_the_progress_bar(workload, capfd):
    engine("compile_max_autotune").open(workload, JOB)
    assert "AUTOTUNE" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler, of itself
def test_frozen_weights_are_frozen_whatever_was_compiled_before(workload):
    images = torch.randn(JOB.shape, generator=torch.Generator().manual_seed(2))
    runners = [engine(name).open(workload, JOB) for name in ("compile", "compile_frozen")]
    before = [runner(images) for runner in runners]
    with torch.inference_mode():
        logits = workload.network(images)
    assert all(agreement(logits, found).within(1e-5) for found in before)
    for runner in runners:
        for parameter in runner.module.parameters():
            parameter.data.mul_(1.5)
    unfrozen, frozen = (runner(images) for runner in runners)
    assert agreement(before[0], unfrozen).max_rel > 0.1
    assert torch.equal(before[1], frozen)


@pytest.mark.thorough
def test_timms_networks_get_our_weights(tmp_path):
    timm = engine("timm")
    name = "ResNeXt50_32x4d"
    if timm.obstacle(name, "cpu", "fp32"):
        pytest.skip(timm.obstacle(name, "cpu", "fp32"))
    workload = Workload(golden_network(architecture(name)), tmp_path)
    images = torch.from_numpy(golden_images((97, 131)))
    found = timm.open(workload, Job(batch_size=2, image_size=(97, 131), threads=1))(images)
    assert agreement(torch.from_numpy(golden(name, (97, 131)).logits), found).within(1e-4)
    assert set(TIMM) <= {architecture(name).name for name in TIMM}


def test_obstacles():
    assert engine("onnxruntime").obstacle("SENet154_vd", "cpu", "bf16") == "does not run bf16 on cpu"
    assert engine("timm").obstacle("SENet154_vd", "cpu", "fp32") == "has no network that computes the same"
    assert engine("eager").obstacle("SENet154_vd", "cpu", "fp32") == ""
    with pytest.raises(ResnexusError, match="unknown engine 'openvin': did you mean 'openvino'"):
        engine("openvin")
    assert {"eager", "channels_last", "resnexus"} <= set(quick_engines())
    assert "compile" not in quick_engines()


def test_a_missing_package_is_an_obstacle(monkeypatch):
    monkeypatch.setattr("resnexus.benchmark.engines.is_installed", lambda package: False)
    assert engine("openvino").obstacle("SENet154_vd", "cpu", "fp32") == "not installed: openvino"


def test_engines_for_logits_alone_say_so(tmp_path):
    for name in ("paddle", "timm", "timm_frozen", "tensorrt"):
        assert (
            engine(name).obstacle("ResNeXt50_32x4d", "cpu", "fp32", maps=True) == "returns no feature maps on cpu here"
        )
    assert engine("onnxruntime").obstacle("ResNeXt50_32x4d", "cuda", "fp32", maps=True) == (
        "returns no feature maps on cuda here"
    )
    assert engine("eager").obstacle("ResNeXt50_32x4d", "cpu", "fp32", maps=True) == ""
    row = replace(ROW, depths=(1, 1))
    for number, options in enumerate(({"features_only": True}, {"output_stride": 1})):
        folder = tmp_path / str(number)
        folder.mkdir()
        network = create_model(row, **options).eval()
        with pytest.raises(BackendError, match="opened here for logits at the row's own output stride alone"):
            Workload(network, folder).classifier  # noqa: B018
