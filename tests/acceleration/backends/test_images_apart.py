"""No image of a batch changes another's logits, in any back end that runs on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import resnexus
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.native import compiler
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection

WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "native": ("native", {}),
    "native, direct": ("native", {"products": "direct"}),
    "torch, plain": ("torch", {"mode": "plain"}),
    "torch, eager": ("torch", {"mode": "eager"}),
    "torch, compiled": ("torch", {"mode": "compiled"}),
    "openvino": ("openvino", {}),
    "openvino, 2 parts": ("openvino", {"parts": "2"}),
    "onnxruntime": ("onnxruntime", {}),
}
# Wide enough for Strassen's products, which pair pixels; 28x28 leaves 7x7, an odd number of them.
_WIDE: dict[str, Any] = {"groups": 16, "width": 16, "out_width": 256, "stem_width": 16}
ROWS: dict[str, dict[str, Any]] = {
    "wide": {"block": "bottleneck", "depths": (2,), **_WIDE},
    "wide, gated": {"block": "bottleneck", "se_reduction": 16, "depths": (1,), **_WIDE},
    "basic": {"block": "basic", "depths": (1, 1), "width": 16, "out_width": 16, "stem_width": 16},
    "res2": {"block": "res2", "scale": 4, "width": 26, "depths": (1, 1), "out_width": 64, "stem_width": 16},
}
FILLS = {
    "nan": torch.nan,
    "inf": torch.inf,
    "-inf": -torch.inf,
    "1e30": 1e30,
    "-1e20": -1e20,
    "1e4": 1e4,
}


@pytest.fixture(scope="module")
def opened(random_network, tmp_path_factory):
    """Return a runner of a row in a way, built once."""
    builds: dict[Any, Any] = {}
    runners: dict[Any, Any] = {}

    def build(way: str, row: str, job: Job):
        network = random_network(resnexus.Architecture(name="tiny", **ROWS[row]), dtype=torch.float32)
        gated = has_gated_projection(network.architecture)
        network = gate_before_projection(network) if gated else fold_batch_norm(network)
        folder = tmp_path_factory.mktemp("built")
        name, options = WAYS[way]
        backend(name).build(network, job, options, folder, None)
        return folder

    def find(way: str, row: str, size: int, image_size: tuple[int, int], threads: int):
        name, options = WAYS[way]
        key = (way, row, size, image_size, threads)
        if key not in runners:
            job = Job(batch_size=size, image_size=image_size, threads=threads)
            built = (name if name == "openvino" else way, *key[1:])  # it cuts a batch when it loads
            if built not in builds:
                builds[built] = build(way, row, job)
            runners[key] = backend(name).load(builds[built], job, options)
        return runners[key]

    return find


def _skip_unless_usable(way: str) -> None:
    name, _ = WAYS[way]
    entry = backend(name)
    if name == "native":
        if compiler.find_compiler() is None:
            pytest.skip(compiler.no_compiler())
    elif not entry.is_usable("cpu", "fp32"):
        pytest.skip(f"{name} is not installed")


def _images(size: int, image_size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(size, 3, *image_size, generator=torch.Generator().manual_seed(3))


SHAPES = ((4, (28, 28), 2), (2, (64, 48), 1), (5, (28, 28), 2))


def _cases() -> Iterator[Any]:
    """Everything for our own kernels as they are; of the others one row at one size, and the rest where there is time.

    Of that, `make test` runs every row at one size and one row at every size, and one way of another library.
    What is compiled takes a minute each: two rows at one size.
    """
    for way in WAYS:
        for row in ROWS:
            for shape in SHAPES:
                compiled = way == "torch, compiled"
                if compiled and (row not in ("wide, gated", "res2") or shape != SHAPES[0]):
                    continue
                few = way in ("native, direct", "torch, plain", "torch, eager", "openvino, 2 parts")
                quick = way == "native" or (few and (row, shape) == ("wide, gated", SHAPES[0]))
                patience = (pytest.mark.timeout(1200),) if compiled else ()
                first = shape == SHAPES[0] or row == "wide, gated"
                kept = first and way in ("native", "native, direct", "torch, plain")
                marks = () if kept else (pytest.mark.thorough,)
                yield pytest.param(way, row, *shape, marks=marks if quick else (pytest.mark.slow, *patience))


@pytest.mark.parametrize(("way", "row", "size", "image_size", "threads"), list(_cases()))
def test_an_image_changes_no_others_logits(way, row, size, image_size, threads, opened):
    _skip_unless_usable(way)
    if WAYS[way][1].get("parts") and size % 2:
        pytest.skip("an odd batch has no two equal parts")
    runner = opened(way, row, size, image_size, threads)
    images = _images(size, image_size)
    expected = runner(images).clone()
    assert expected.isfinite().all()
    for number, (name, fill) in enumerate(FILLS.items()):
        place = number % size
        changed = images.clone()
        changed[place] = fill if name != "1e4" else images[place] * fill
        logits = runner(changed)
        others = [other for other in range(size) if other != place]
        assert torch.equal(logits[others], expected[others]), (place, name)
        assert not torch.equal(logits[place], expected[place]), (place, name)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("image_size", [(28, 28), pytest.param((65, 47), marks=pytest.mark.thorough)])
def test_our_kernels_round_an_image_alike_in_every_place_of_a_batch(row, image_size, opened):
    _skip_unless_usable("native")
    for size, threads in ((4, 1), (4, 2), (5, 2)):
        runner = opened("native", row, size, image_size, threads)
        images = _images(size, image_size)
        expected = runner(images).clone()
        for shift in (1, 2):
            assert torch.equal(runner(images.roll(shift, 0)), expected.roll(shift, 0)), (size, threads, shift)
