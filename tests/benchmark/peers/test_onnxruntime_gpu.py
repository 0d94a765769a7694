"""The providers of a GPU share all but their names with the one of the CPU, by which they are tested here."""

import sys

import pytest
import torch

from resnexus import Architecture, create_model
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.planning.building import built_once
from resnexus.acceleration.planning.judge import Referee
from resnexus.benchmark.engines import ENGINES, engine
from resnexus.benchmark.peers.onnxruntime_gpu import _providers, build_onnx, check_provider, load_onnx
from resnexus.benchmark.workload import Workload
from resnexus.parity.agreement import agreement

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch's exporter, of itself

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16, se_reduction=4
)
CPU = "CPUExecutionProvider"


@pytest.fixture
def network():
    torch.manual_seed(3)
    return create_model(ROW, num_classes=7).eval()


def _job(precision="fp32", device="cpu"):
    return Job(batch_size=2, image_size=(16, 16), precision=precision, device=device)


def test_images_and_logits_keep_their_places_and_results_are_the_callers_own(network, tmp_path):
    build_onnx(network, _job(), tmp_path)
    runner = load_onnx(tmp_path, _job(), CPU)
    batches = torch.randn(3, *_job().shape, generator=torch.Generator().manual_seed(2))
    places = {(runner.images.data_ptr(), runner.logits.data_ptr())}
    results = [runner(images) for images in batches]
    places.add((runner.images.data_ptr(), runner.logits.data_ptr()))
    assert len(places) == 1
    with torch.inference_mode():
        for images, found in zip(batches, results, strict=True):
            assert agreement(network(images), found).within(1e-5)


@pytest.mark.thorough
def test_half_precision_is_the_models_own(network, tmp_path):
    job = _job("fp16")
    build_onnx(network, job, tmp_path)
    found = load_onnx(tmp_path, job, CPU)(torch.ones(job.shape))
    with torch.inference_mode():
        expected = agreement(network(torch.ones(job.shape)), found)
    assert 1e-6 < expected.max_rel < 1e-2
    assert found.dtype == torch.float32


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("precision", "number"),
    [("fp32", 1), *(pytest.param(*row, marks=pytest.mark.slow) for row in (("fp16", 10), ("bf16", 16)))],
)
def test_weights_are_written_in_the_precision_of_the_job(precision, number, network, tmp_path):
    build_onnx(network, _job(precision), tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)  # every operator knows the type
    assert {entry.data_type for entry in model.graph.initializer if len(entry.dims) == 4} == {number}
    assert next(network.parameters()).dtype == torch.float32
    ends = [*model.graph.input, *model.graph.output]
    assert [entry.type.tensor_type.elem_type for entry in ends] == [1, 1]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it has what is missing")
def test_a_provider_that_is_not_there_is_an_error_and_not_the_cpu(network, tmp_path):
    build_onnx(network, _job(), tmp_path)
    with pytest.raises(BackendError, match=r"built without CUDAExecutionProvider: .* install onnxruntime-gpu"):
        load_onnx(tmp_path, _job(), "CUDAExecutionProvider")


def test_tensorrt_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT cannot be loaded \(.*\): pip install 'tensorrt"):
        check_provider("TensorrtExecutionProvider")


def test_a_model_that_does_not_open_is_an_error_with_its_reason(tmp_path, capsys):
    (tmp_path / "model.onnx").write_text("nothing")
    with pytest.raises(BackendError, match="does not open the network with CPUExecutionProvider: "):
        load_onnx(tmp_path, _job(), CPU)
    assert capsys.readouterr().out == ""  # no second try on the CPU, of which ONNX Runtime would print


def test_what_failed_to_be_exported_is_not_taken_for_a_model(tmp_path):
    def fails(folder):
        (folder / "model.onnx").write_text("half")
        raise ValueError("cannot be exported")

    with pytest.raises(ValueError, match="cannot be exported"):
        built_once(tmp_path / "onnx", fails)
    assert list(tmp_path.iterdir()) == []
    assert built_once(tmp_path / "onnx", lambda folder: (folder / "model.onnx").touch()) == tmp_path / "onnx"
    assert built_once(tmp_path / "onnx", fails) == tmp_path / "onnx"
    assert [path.name for path in (tmp_path / "onnx").iterdir()] == ["model.onnx"]


def test_engines_of_a_gpu_say_what_is_missing(monkeypatch):
    monkeypatch.setattr("resnexus.benchmark.engines.is_installed", lambda package: package != "tensorrt")
    assert engine("tensorrt").obstacle("tiny", "cuda", "fp16") == "not installed: tensorrt"
    assert engine("tensorrt").obstacle("tiny", "cpu", "fp32") == "does not run fp32 on cpu"
    assert engine("onnxruntime").obstacle("tiny", "cuda", "fp16") == ""
    assert engine("onnxruntime").obstacle("tiny", "cuda", "bf16") == "does not run bf16 on cuda"
    assert engine("tensorrt").obstacle("tiny", "cuda", "fp32") == "does not run fp32 on cuda"  # but TF32


def test_float32_on_a_gpu_is_not_cut_to_tf32():
    ((_, options),) = _providers("CUDAExecutionProvider", _job("fp32", "cuda"))
    assert options["use_tf32"] == "0"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["onnxruntime", "tensorrt"])
def test_every_precision_of_a_gpu_agrees(name, network, tmp_path):
    reason = engine(name).obstacle("tiny", "cuda", "fp16")
    if reason:
        pytest.skip(reason)
    workload = Workload(network, tmp_path)
    for precision in ENGINES[name].precisions["cuda"]:
        job = _job(precision, "cuda")
        runner = engine(name).open(workload, job)
        Referee(network, job).judge(lambda images, runner=runner: runner(images.cuda()).cpu())
