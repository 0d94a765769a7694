from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

import resnexus
from resnexus.acceleration.accelerate import accelerate
from resnexus.acceleration.backends import contract
from resnexus.acceleration.engine import BatchSizeWarning
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import agreement, map_agreement


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, r"unknown device 'tpu'"),
        ({"device": "cuda:0"}, r"device 'cuda:0': expected no number, since this runs on the current GPU"),
        *(
            pytest.param(
                {"device": name},
                r"device 'cuda': PyTorch sees no GPU here; use device 'cpu'",
                marks=pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device"),
            )
            for name in ("cuda", "gpu")
        ),
        ({"precision": "fp15"}, r"unknown precision 'fp15': did you mean 'fp16'"),
        ({"precision": "int8"}, r"precision='int8' needs images to calibrate with"),
        ({"calibration": torch.zeros(1, 3, 16, 16)}, r"calibration has no effect with precision='fp32'"),
        ({"batch_sizes": ()}, r"batch_sizes=\(\): expected whole numbers"),
        ({"batch_sizes": (0,)}, r"batch_sizes=\(0,\): expected whole numbers"),
        ({"batch_sizes": (True,)}, r"batch_sizes=\(True,\)"),
        (
            {"batch_sizes": True},
            r"batch_sizes=True: expected whole numbers of at least 1, such as \(1, 8\), or a single",
        ),
        ({"batch_sizes": 0}, r"batch_sizes=0: expected whole numbers"),
        ({"batch_sizes": 1.5}, r"batch_sizes=1.5: expected whole numbers"),
        ({"batch_sizes": "18"}, r"batch_sizes='18': expected whole numbers"),
        ({"image_size": 0}, r"image_size=0: expected a whole number of pixels"),
        ({"image_size": (16, 16, 16)}, r"image_size=\(16, 16, 16\)"),
        ({"image_size": 16.0}, r"image_size=16.0: expected a whole number of pixels"),
        ({"image_size": (16, True)}, r"image_size=\(16, True\)"),
        ({"threads": 10**6}, r"threads=1000000: expected a whole number from 1"),
        ({"backends": ["tensorrt"]}, r"unknown back end 'tensorrt'"),
        ({"backends": "openvin"}, r"unknown back end 'openvin': did you mean 'openvino'"),
        ({"precision": "int8", "calibration": []}, r"calibration holds no image"),
        (
            {"precision": "int8", "calibration": torch.zeros(1, 3, 8, 8)},
            r"calibration images of shape \(1, 3, 8, 8\): expected \(N, 3, 16, 16\)",
        ),
        (
            {"precision": "int8", "calibration": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)},
            r"calibration images of torch.uint8: expected floating point",
        ),
        ({"precision": "int8", "calibration": [[1.0]]}, r"calibration images are list: expected a tensor or array"),
    ],
)
def test_refusals(options, message, tiny, tmp_path):
    with pytest.raises(ResnexusError, match=message):
        accelerate(tiny, **{"image_size": 16, "cache_dir": tmp_path, **options})
    assert list(tmp_path.iterdir()) == []


def test_only_networks_of_ours():
    with pytest.raises(ResnexusError, match=r"cannot accelerate str: expected a network of ours"):
        accelerate("SE_ResNet18_vd")
    with pytest.raises(ResnexusError, match=r"cannot accelerate Linear"):
        accelerate(torch.nn.Linear(3, 7))


def test_maps_at_an_output_stride(random_network, smallest, tmp_path, monkeypatch):
    monkeypatch.setattr("resnexus.acceleration.planning.search.first_round", lambda row, backends: [])
    row = replace(smallest.architecture, depths=(1, 1))
    options = {"features_only": True, "output_stride": 1, "num_classes": None}
    network = random_network(row, dtype=torch.float32, out_indices=(2, 0), **options)
    planning = {"image_size": (9, 13), "threads": 1, "cache_dir": tmp_path, "seconds": 0.0, "backends": "torch"}
    engine = accelerate(network, batch_sizes=2, **planning)
    assert engine.out_indices == (2, 0)
    assert engine.feature_info == network.feature_info
    images = torch.randn(3, 3, 9, 13)
    with pytest.warns(BatchSizeWarning, match="a batch of 3 was not planned for"):
        found = {count: engine(images[:count]) for count in (0, 2, 3)}
    for count, maps in found.items():
        with torch.inference_mode():
            expected = network(images[:count])
        assert [part.shape for part in maps] == [part.shape for part in expected]
        assert count == 0 or map_agreement((2, 0), expected, maps).within(1e-5)
    assert [part.index for part in engine.plans[2].agreement.maps] == [2, 0]
    assert re.search(r"map [02], the worst of 2 maps, differs by \S+ of its largest, .* on 2 images", engine.explain())
    again = accelerate(network, batch_sizes=2, **planning)
    assert again.plans == engine.plans
    only = accelerate(random_network(row, dtype=torch.float32, out_indices=(0,), **options), **planning)
    assert "map 0, the only map, differs by" in only.explain()


@pytest.mark.thorough
def test_logits_at_an_output_stride(random_network, smallest, tmp_path, monkeypatch):
    monkeypatch.setattr("resnexus.acceleration.planning.search.first_round", lambda row, backends: [])
    network = random_network(replace(smallest.architecture, depths=(1, 1)), dtype=torch.float32, output_stride=1)
    options = {"image_size": 9, "threads": 1, "cache_dir": tmp_path, "seconds": 0.0, "backends": "torch"}
    images = torch.randn(1, 3, 9, 9)
    with torch.inference_mode():
        assert agreement(network(images), accelerate(network, **options)(images)).within(1e-5)


class _Said:
    """Progress that is only written down."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    def stage(self, description: str, total: int):
        raise AssertionError("planning does not know how many steps it takes")


def test_single_values_and_progress(smallest, tiny_images, tmp_path):
    said = _Said()
    options = {"image_size": 16, "threads": 1, "cache_dir": tmp_path, "seconds": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        # The plain network alone.
        patch.setattr("resnexus.acceleration.planning.search.first_round", lambda row, backends: [])
        engine = accelerate(smallest, batch_sizes=2, backends="torch", progress=said, **options)
    assert engine.batch_sizes == (2,)
    assert said.lines[0] == "building torch(mode=plain) on the network as it is for a batch of 2"
    again = accelerate(smallest, batch_sizes=(2,), backends=["torch"], **options)  # the same plan, silently
    assert again.plans == engine.plans
    assert torch.equal(again(tiny_images[:2]), engine(tiny_images[:2]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_int8_from_several_calibration_batches(smallest, tiny_images, tmp_path):
    pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")
    pytest.importorskip("nncf", reason="nncf is optional: pip install 'resnexus[export]'")
    options = {"precision": "int8", "image_size": 16, "threads": 1, "cache_dir": tmp_path, "seconds": 0.05}
    engine = accelerate(smallest, calibration=[tiny_images, tiny_images.flip(3).numpy()], **options)
    plan = engine.plans[1]
    quantised = [trial for trial in plan.trials if trial.candidate.startswith("openvino")]
    assert quantised
    assert all(trial.ratio is not None for trial in quantised)  # none came apart; which is faster depends on the day
    assert plan.images == (8 if plan.candidate.backend == "openvino" else 1)
    if plan.candidate.backend == "openvino":
        assert plan.agreement.max_rel > 1e-4
        assert plan.agreement.cosine > 0.95


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_maps_in_int8(random_network, smallest, tmp_path):
    pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")
    pytest.importorskip("nncf", reason="nncf is optional: pip install 'resnexus[export]'")
    row = replace(smallest.architecture, depths=(1, 1))
    maps = {"features_only": True, "out_indices": (2, 0), "output_stride": 1, "num_classes": None}
    network, images = random_network(row, dtype=torch.float32, **maps), torch.randn(16, 3, 9, 13)
    options = {"image_size": (9, 13), "threads": 1, "cache_dir": tmp_path, "seconds": 0.05, "backends": "openvino"}
    engine = accelerate(network, precision="int8", calibration=images, **options)
    plan = engine.plans[1]
    quantised = [trial for trial in plan.trials if trial.candidate.startswith("openvino")]
    assert quantised
    assert all(trial.ratio is not None for trial in quantised)  # no map came apart; which is faster depends on the day
    assert [part.index for part in plan.agreement.maps] == [2, 0]
    assert all(part.cosine > 0.95 for part in plan.agreement.maps)
    with torch.inference_mode():
        here = map_agreement((2, 0), network(images[:1]), engine(images[:1]))
    assert all(part.cosine > 0.95 for part in here.maps)
    if plan.candidate.backend == "openvino":
        assert min(part.max_rel for part in (*plan.agreement.maps, *here.maps)) > 1e-4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_with_nothing_optional_and_no_compiler_torch_still_wins_over_plain(tiny, tiny_images, tmp_path, monkeypatch):
    optional = {"openvino", "onnxruntime", "onnx", "onnxscript", "nncf"}
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(contract, "is_installed", lambda package: package not in optional)
    engine = accelerate(tiny, image_size=16, batch_sizes=(4,), cache_dir=tmp_path, seconds=0.2)
    assert engine.plans[4].candidate.backend == "torch"
    assert engine.plans[4].ratio <= 1
    with torch.inference_mode():
        torch.testing.assert_close(engine(tiny_images), tiny(tiny_images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_50_layer_network_opens_again_without_building_or_timing(tmp_path):
    network = resnexus.create_model("SE_ResNeXt50_vd_32x4d").eval()
    said = _Said()
    options = {"cache_dir": tmp_path, "seconds": 0.5}
    first = accelerate(network, **options)
    second = accelerate(network, progress=said, **options)
    assert said.lines == []
    assert second.plans == first.plans
