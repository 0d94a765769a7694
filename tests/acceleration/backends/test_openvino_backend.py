from __future__ import annotations

import shutil

import pytest
import torch

from resnexus import Architecture
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.backends.openvino import BACKEND
from resnexus.acceleration.planning.builds import Held
from resnexus.parity.agreement import agreement
from resnexus.rewrites.table import applicable, rewritten

pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")
pytestmark = pytest.mark.filterwarnings("ignore")


def _job(batch_size: int = 4, precision="fp32", threads: int = 1) -> Job:
    return Job(batch_size=batch_size, image_size=(16, 16), precision=precision, threads=threads)


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    BACKEND.build(rewritten(tiny, applicable(tiny.architecture)), _job(), {}, folder, None)
    return folder


@pytest.mark.parametrize(
    ("options", "threads"), [({}, 1), ({"parts": "2"}, 2), ({"parts": "4"}, 2), ({"parts": "4"}, 1)]
)
def test_every_way_to_cut_a_batch_agrees(options, threads, built, tiny, tiny_images):
    runner = BACKEND.load(built, _job(threads=threads), options)
    with torch.inference_mode():
        expected = tiny(tiny_images)
        assert agreement(expected, runner(tiny_images)).within(1e-5)
        assert agreement(expected.flip(0), runner(tiny_images.flip(0))).within(1e-5)


def test_one_build_serves_every_batch_size(built, tiny, tiny_images):
    for size in (1, 3):
        logits = BACKEND.load(built, _job(size), {})(tiny_images[:size])
        with torch.inference_mode():
            assert agreement(tiny(tiny_images[:size]), logits).within(1e-5)


def test_logits_are_the_callers_own(built, tiny_images):
    runner = BACKEND.load(built, _job(), {})
    first = runner(tiny_images)
    kept = first.clone()
    runner(-tiny_images)
    assert torch.equal(first, kept)


def test_what_is_loaded_goes_on_when_its_files_are_removed(built, tiny_images, tmp_path):
    copy = shutil.copytree(built, tmp_path / "copy")
    held = Held(copy)
    runner = BACKEND.load(held.path, _job(), {})
    del held
    shutil.rmtree(copy)
    assert torch.equal(runner(tiny_images), BACKEND.load(built, _job(), {})(tiny_images))


def test_bfloat16_is_bfloat16(built, tiny, tiny_images):
    if "bf16" not in BACKEND.precisions("cpu"):
        pytest.skip("this processor has no bfloat16")
    logits = BACKEND.load(built, _job(precision="bf16"), {})(tiny_images)
    with torch.inference_mode():
        assert 1e-5 < agreement(tiny(tiny_images), logits).max_rel < 0.05


@pytest.fixture(scope="module")
def gated(random_network):
    """One block with a gate: NNCF takes a second for every convolution."""
    row = Architecture(
        name="gated", block="bottleneck", depths=(1,), width=4, groups=4, out_width=32, se_reduction=4, stem="small",
        stem_width=16,
    )  # fmt: skip
    return random_network(row, dtype=torch.float32)


def _products(folder) -> tuple[int, int]:
    """How many matrix products a stored model has, and how many of them are quantised."""
    import openvino

    found = [op for op in openvino.Core().read_model(folder / "model.xml").get_ops() if op.get_type_name() == "MatMul"]
    inputs = [[value.get_source_output().get_node().get_type_name() for value in op.inputs()] for op in found]
    return len(inputs), sum("FakeQuantize" in kinds for kinds in inputs)


@pytest.mark.thorough
def test_int8_after_calibration(gated, tiny_images, tmp_path, capfd):
    pytest.importorskip("nncf", reason="nncf is optional: pip install 'resnexus[export]'")
    job = _job(precision="int8")
    calibration = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    BACKEND.build(rewritten(gated, ["fold_batch_norm"]), job, {}, tmp_path, calibration)
    said = capfd.readouterr()
    assert said.out == ""
    assert "nncf" not in said.err.lower()
    assert "Statistics" not in said.err
    assert _products(tmp_path) == (3, 1)  # two of the gate, and the classifier
    logits = BACKEND.load(tmp_path, job, {})(tiny_images)
    with torch.inference_mode():
        found = agreement(gated(tiny_images), logits)
    assert found.max_rel > 1e-3, "nothing was quantised"
    assert found.cosine > 0.98
    assert (tmp_path / "model.bin").stat().st_size < 0.5 * sum(4 * p.numel() for p in gated.parameters())


@pytest.mark.thorough  # NNCF takes seconds
def test_int8_with_moved_gates_does_not_clip_a_strong_image_among_faint_ones(tiny, tiny_images, tmp_path):
    pytest.importorskip("nncf", reason="nncf is optional: pip install 'resnexus[export]'")
    job = _job(1, precision="int8")
    strong = tiny_images[:1]
    moved = rewritten(tiny, ["fold_batch_norm", "gate_before_projection"])
    BACKEND.build(moved, job, {}, tmp_path, torch.cat([strong, *[0.1 * strong] * 7]))
    assert _products(tmp_path) == (5, 1)
    with torch.inference_mode():
        found = agreement(tiny(strong), BACKEND.load(tmp_path, job, {})(strong))
    assert found.max_rel < 0.05


def test_refusals(built, tiny, tmp_path):
    with pytest.raises(BackendError, match=r"a batch of 4 cannot be cut into 3 equal parts"):
        BACKEND.load(built, _job(), {"parts": "3"})
    for wrong in ("0", "-1", "x", "", "1.0", "9" * 5000):
        with pytest.raises(BackendError, match=rf"parts='{wrong}': expected what matches"):
            BACKEND.load(built, _job(), {"parts": wrong})
    with pytest.raises(BackendError, match=r"rest='f16': expected f32, bf16"):
        BACKEND.load(built, _job(), {"rest": "f16"})
    with pytest.raises(BackendError, match=r"int8 needs images to calibrate with"):
        BACKEND.build(tiny, _job(precision="int8"), {}, tmp_path, None)
    assert BACKEND.precisions("cuda") == ()
