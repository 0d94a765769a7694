import warnings

import pytest
import torch

from resnexus import Architecture, ResnexusError, architecture, complexity, create_model
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.native import product
from resnexus.benchmark.engines import ENGINES, engine, quick_engines
from resnexus.benchmark.peaks import Peak, floor_ms, peak
from resnexus.benchmark.peers.openers import TIMM
from resnexus.benchmark.subject import Subject
from resnexus.parity.agreement import agreement
from resnexus.parity.golden import golden, golden_images, golden_network

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16, se_reduction=4
)
JOB = Job(batch_size=2, image_size=(16, 16), threads=1)


@pytest.fixture
def subject(tmp_path):
    torch.manual_seed(3)
    network = create_model(ROW, num_classes=7).eval()
    return Subject(network, tmp_path, cache_dir=tmp_path / "plans", backends=("openvino",), seconds=0.05)


SLOW = {"compile_frozen", "compile_max_autotune", "aotinductor"}  # each takes up to half a minute to open


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(row.name, marks=[pytest.mark.slow] if row.name in SLOW else [])
        for row in ENGINES.values()
        if "cpu" in row.precisions and row.networks is None
    ],
)
def test_every_engine_of_the_cpu_computes_the_same(name, subject):
    row = engine(name)
    if row.obstacle("tiny", "cpu", "fp32"):
        pytest.skip(row.obstacle("tiny", "cpu", "fp32"))
    images = torch.randn(JOB.shape, generator=torch.Generator().manual_seed(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = row.open(subject, JOB)(images)
    with torch.inference_mode():
        assert agreement(subject.network(images), found).within(1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_autotuning_is_not_reported_into_the_progress_bar(subject, capfd):
    engine("compile_max_autotune").open(subject, JOB)
    assert "AUTOTUNE" not in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler, of itself
def test_frozen_weights_are_frozen_whatever_was_compiled_before(subject):
    images = torch.randn(JOB.shape, generator=torch.Generator().manual_seed(2))
    runners = [engine(name).open(subject, JOB) for name in ("compile", "compile_frozen")]
    before = [runner(images) for runner in runners]
    for runner in runners:
        for parameter in runner.module.parameters():
            parameter.data.mul_(1.5)
    unfrozen, frozen = (runner(images) for runner in runners)
    assert agreement(before[0], unfrozen).max_rel > 0.1
    assert torch.equal(before[1], frozen)


def test_timms_networks_get_our_weights(tmp_path):
    timm = engine("timm")
    name = "ResNeXt50_32x4d"
    if timm.obstacle(name, "cpu", "fp32"):
        pytest.skip(timm.obstacle(name, "cpu", "fp32"))
    subject = Subject(golden_network(architecture(name)), tmp_path)
    images = torch.from_numpy(golden_images((97, 131)))
    found = timm.open(subject, Job(batch_size=2, image_size=(97, 131), threads=1))(images)
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


def test_peaks_are_measured():
    found = peak("cpu", "fp32", 1)
    assert 0.001 < found.tflops < 100
    assert 0.1 < found.gbytes_s < 10_000
    assert 0 < found.call_us < 1e5
    assert 0.001 < peak("cpu", "int8", 1).tflops < 1000


def test_the_peak_is_that_of_whoever_multiplies_faster(monkeypatch):
    if "fp32" not in backend("native").precisions("cpu"):
        pytest.skip("our own kernels do not run here")
    monkeypatch.setattr(product, "macs", lambda threads: 10**18 * threads)
    assert peak("cpu", "fp32", 1).tflops > 1000
    monkeypatch.setattr(product, "macs", lambda threads: 0)
    assert 0.001 < peak("cpu", "fp32", 1).tflops < 100


def test_kernels_that_cannot_be_compiled_do_not_count_for_the_peak(monkeypatch, caplog):
    def fails(folder, threads):
        raise BackendError("no such instruction")

    if "fp32" not in backend("native").precisions("cpu"):
        pytest.skip("our own kernels do not run here")
    monkeypatch.setattr(product, "chain", fails)
    assert 0.001 < peak("cpu", "fp32", 1).tflops < 100
    assert "our own kernels do not count for the peak: no such instruction" in caplog.text
