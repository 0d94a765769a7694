from __future__ import annotations

import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch

import heap
import resnexus
from resnexus.acceleration.backends import native as native_backend
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.backends.native import BACKEND
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.native import compiler, placement
from resnexus.acceleration.native.calls import KernelCalls
from resnexus.architectures.network import Network
from resnexus.parity.agreement import agreement, map_agreement
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection
from resnexus.rewrites.table import rewritten
from tests.sampled import sampled

pytestmark = pytest.mark.skipif(compiler.find_compiler() is None, reason="there is no C++ compiler")

TOLERANCE = 1e-5

_VD: dict[str, Any] = {"stem": "deep", "shortcut": "pool"}
_SHAPES: dict[str, dict[str, Any]] = {
    "basic": {"width": 24, "out_width": 24},
    "bottleneck": {"width": 4, "groups": 8, "out_width": 64},
    "res2": {"width": 26, "scale": 4, "out_width": 64},
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "basic": ("basic", {}),
    "basic, small stem": ("basic", {"stem": "small"}),
    "basic, gated, vd": ("basic", {"se_reduction": 4, **_VD}),
    "bottleneck": ("bottleneck", {"groups": 1, "width": 24}),
    "groups of 4": ("bottleneck", {"depths": (2, 1)}),
    "groups of 8 and 16, vd": ("bottleneck", {"width": 8, **_VD}),
    "groups of 16 and 32": ("bottleneck", {"width": 16}),
    "groups of 64": ("bottleneck", {"width": 64, "groups": 2}),
    "gated": ("bottleneck", {"se_reduction": 4}),
    "gated, deep stem": ("bottleneck", {"se_reduction": 4, "stem": "deep"}),
    "one stage": ("bottleneck", {"depths": (2,), "stem": "small"}),
    "wide": ("bottleneck", {"groups": 1, "width": 256, "out_width": 256, "depths": (1,), "stem_width": 64}),
    "res2": ("res2", {"depths": (2, 2)}),
    "res2, 8 parts, vd": ("res2", {"width": 14, "scale": 8, **_VD}),
    "res2, 2 parts": ("res2", {"scale": 2}),
    "res2, gated": ("res2", {"se_reduction": 4}),
    "res2, authors": ("res2", {"cascade": "authors"}),
    "res2, three stages": ("res2", {"depths": (1, 1, 1)}),
}


def _network(random_network, kind: str, **options: Any) -> Network:
    block, fields = KINDS[kind]
    fields = {"depths": (1, 1), "stem_width": 16, **_SHAPES[block], **fields}
    return random_network(resnexus.Architecture(name="tiny", block=block, **fields), dtype=torch.float32, **options)


def _rewritten(network: Network) -> Network:
    gated = has_gated_projection(network.architecture)
    return gate_before_projection(network) if gated else fold_batch_norm(network)


def _images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def _run(network, images, folder, *, threads=1, options=None):
    folder.mkdir(exist_ok=True)
    job = Job(batch_size=len(images), in_chans=images.shape[1], image_size=tuple(images.shape[2:]), threads=threads)
    BACKEND.build(_rewritten(network), job, options or {}, folder, None)
    return BACKEND.load(folder, job, options or {})


# Every block, shortcut, cascade and kernel of groups; "wide" and the small stem are in the next tests.
KEPT = (
    "basic",
    "basic, gated, vd",
    "bottleneck",
    "groups of 4",
    "groups of 8 and 16, vd",
    "groups of 16 and 32",
    "gated",
    "res2, 2 parts",
    "res2, gated",
    "res2, authors",
)


@pytest.mark.parametrize("kind", sampled(KINDS, KEPT))
def test_every_kind_of_row_computes_the_same(kind, random_network, tmp_path):
    network = _network(random_network, kind)
    for number, (size, height, width) in enumerate([(1, 67, 45), (3, 32, 64), (2, 64, 80)]):
        images = _images(size, 3, height, width)
        runner = _run(network, images, tmp_path / str(number))
        with torch.inference_mode():
            expected = network(images)
        logits = runner(images)
        assert agreement(expected, logits).within(TOLERANCE), (size, height, width)
        kept = logits.clone()
        runner(-images)
        assert torch.equal(logits, kept)  # they are the caller's own
        assert torch.equal(runner(images), kept)  # and nothing is left from the call before


@pytest.mark.parametrize("kind", ["basic", "wide", "res2"])
def test_fewer_multiplications_or_all_of_them(kind, random_network, tmp_path):
    network = _network(random_network, kind)
    images = _images(2, 3, 64, 64)
    job = Job(batch_size=len(images), image_size=(64, 64))
    program = lower(_rewritten(network))
    calls = KernelCalls()
    placement.place(program, job, calls)
    kinds = {call.kind for call in calls.calls}
    assert {"wide": "strassen"}.get(kind, "winograd") in kinds
    exact = KernelCalls(fast=False)
    placement.place(program, job, exact)
    assert not {call.kind for call in exact.calls} & {"strassen", "winograd"}
    fast = _run(network, images, tmp_path / "fast")(images)
    direct = _run(network, images, tmp_path / "direct", options={"products": "direct"})(images)
    assert not torch.equal(fast, direct)
    assert agreement(direct, fast).within(TOLERANCE)


@pytest.mark.parametrize("kind", ["basic, gated, vd", "groups of 4", "res2, gated", "basic, small stem"])
@pytest.mark.parametrize("together", [1, 2])
def test_images_that_do_not_fit_the_caches_go_in_passes(kind, together, random_network, tmp_path, monkeypatch):
    network = _network(random_network, kind)
    images = _images(5, 3, 67, 45)
    with torch.inference_mode():
        expected = network(images)
    monkeypatch.setattr(placement, "passes", lambda program, job: [together] * (len(program.sections) - 1))
    assert agreement(expected, _run(network, images, tmp_path)(images)).within(TOLERANCE)


@pytest.mark.thorough
@pytest.mark.parametrize(("threads", "size"), [(2, 1), (9, 1), (2, 3), (3, 4)])
def test_threads_that_share_a_batch_do_not_change_a_bit(threads, size, random_network, tmp_path):
    images = _images(size, 3, 67, 45)
    for kind in ("groups of 8 and 16, vd", "res2, gated", "basic, gated, vd", "wide"):
        network = _network(random_network, kind)
        one = _run(network, images, tmp_path / f"{kind} 1")(images)
        assert torch.equal(_run(network, images, tmp_path / f"{kind} {threads}", threads=threads)(images), one)


@pytest.mark.thorough
@pytest.mark.parametrize(("threads", "size"), [(2, 2), (2, 6), (3, 3)])
def test_threads_with_a_part_of_the_batch_each_do_not_change_a_bit(threads, size, random_network, tmp_path):
    images = _images(size, 3, 67, 45)
    each = size // threads
    for kind in ("groups of 8 and 16, vd", "res2, gated", "wide"):
        network = _network(random_network, kind)
        part = _run(network, images[:each], tmp_path / f"{kind} 1")
        expected = torch.cat([part(some.contiguous()) for some in images.split(each)])
        assert torch.equal(_run(network, images, tmp_path / f"{kind} {threads}", threads=threads)(images), expected)


@pytest.mark.parametrize(
    ("kind", "maps", "stride"),
    sampled(
        [
            ("basic", (3, 1), 8),
            ("gated, deep stem", (0, 1, 2, 3), 16),
            ("groups of 8 and 16, vd", (3, 1), 4),
            ("res2, 8 parts, vd", (0, 1, 2, 3), 8),
            ("res2, authors", (3,), 4),
            ("groups of 64", (0,), 16),
        ],
        ["basic", "gated, deep stem", "res2, 8 parts, vd", "groups of 64"],
        itemgetter(0),
    ),
)
def test_maps_and_dilation(kind, maps, stride, random_network, tmp_path, monkeypatch):
    network = _maps_of(random_network, kind, maps, stride)
    images = _images(3, 3, 33, 47)
    with torch.inference_mode():
        expected = network(images)
    found = _run(network, images, tmp_path / "whole")(images)
    assert map_agreement(maps, expected, found).within(TOLERANCE)
    monkeypatch.setattr(placement, "passes", lambda program, job: [2] * len(program.body))
    again = _run(network, images, tmp_path / "passes")(images)
    assert map_agreement(maps, expected, again).within(TOLERANCE)
    assert all(part.is_contiguous() for part in found + again)


def test_maps_of_images_on_threads_of_their_own(random_network, tmp_path):
    network = _maps_of(random_network, "res2, gated", (2, 0), 4)
    images = _images(2, 3, 33, 47)
    one = _run(network, images[:1], tmp_path / "one")
    both = _run(network, images, tmp_path / "both", threads=2)(images)
    expected = zip(one(images[:1]), one(images[1:].contiguous()), strict=True)
    assert all(torch.equal(torch.cat(parts), found) for parts, found in zip(expected, both, strict=True))


def _maps_of(random_network, kind, maps, stride):
    block, fields = KINDS[kind]
    fields = {"stem_width": 16, **_SHAPES[block], **fields, "depths": (1, 1, 2)}
    row = resnexus.Architecture(name="tiny", block=block, **fields)
    options = {"features_only": True, "out_indices": maps, "output_stride": stride, "num_classes": None}
    return random_network(row, dtype=torch.float32, **options)


def test_other_channels_and_classes(random_network, tmp_path):
    network = _network(random_network, "basic", in_chans=5, num_classes=50)
    images = _images(2, 5, 40, 40)
    with torch.inference_mode():
        assert agreement(network(images), _run(network, images, tmp_path)(images)).within(TOLERANCE)


def test_images_that_are_not_finite_come_out_as_such(random_network, tmp_path):
    network = _network(random_network, "groups of 4")
    images = _images(2, 3, 32, 32)
    images[0, 0, 3, 3] = torch.nan
    logits = _run(network, images, tmp_path)(images)
    with torch.inference_mode():
        assert torch.equal(logits.isnan(), network(images).isnan())


@pytest.mark.parametrize(
    ("kind", "image_size"),
    sampled([("groups of 4", (33, 47)), ("res2", (225, 239))], ["groups of 4"], itemgetter(0)),
)
def test_a_pixel_that_is_no_number_reaches_the_logits_from_anywhere(kind, image_size, random_network, tmp_path):
    network = _network(random_network, kind)
    runner = _run(network, _images(1, 3, *image_size), tmp_path)
    height, width = image_size
    for place in ((0, 0), (height - 1, width // 2), (height - 2, 5), (6, width - 1), (height // 2, width - 2)):
        images = _images(1, 3, *image_size)
        images[0, 1, *place] = torch.nan
        assert runner(images).isnan().all(), place
    with torch.inference_mode():
        assert network(images).isnan().all()


@pytest.mark.parametrize(
    ("rewrites", "message"),
    [
        ((), "our own engines need folded convolutions, and this network has a ConvNorm"),
        (("pool_into_projection",), "do not know a shortcut|need folded convolutions"),
        (("res2_without_copies",), "need folded convolutions, and this network has a SummedProjection"),
        (("res2_separate_entries",), "take a Res2 block as it is, without rewrites of its own"),
    ],
)
def test_networks_that_are_not_as_they_should_be(rewrites, message, random_network, tmp_path):
    network = _network(random_network, "res2, 8 parts, vd")
    with pytest.raises(BackendError, match=message):
        BACKEND.build(rewritten(network, rewrites), Job(batch_size=1, image_size=(32, 32)), {}, tmp_path, None)


def test_products_that_it_does_not_know(random_network, tmp_path):
    with pytest.raises(BackendError, match=r"products='quick'.*fast.*direct"):
        _run(_network(random_network, "basic"), _images(1, 3, 32, 32), tmp_path, options={"products": "quick"})


def test_groups_without_a_kernel(random_network, tmp_path):
    row = resnexus.Architecture(
        name="tiny", block="bottleneck", depths=(1,), width=6, groups=4, out_width=64, stem_width=16
    )
    network = fold_batch_norm(random_network(row, dtype=torch.float32))
    with pytest.raises(BackendError, match="have none for groups of 6 channels"):
        BACKEND.build(network, Job(batch_size=1, image_size=(32, 32)), {}, tmp_path, None)


def test_no_classifier(random_network, tmp_path):
    network = fold_batch_norm(_network(random_network, "basic", num_classes=0))
    with pytest.raises(BackendError, match="need a classifier"):
        BACKEND.build(network, Job(batch_size=1, image_size=(32, 32)), {}, tmp_path, None)


def test_without_a_compiler(monkeypatch, random_network, tmp_path, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(native_backend, "processor", lambda: "some avx512f")
    native_backend._log_missing_compiler.cache_clear()
    assert compiler.find_compiler() is None
    assert BACKEND.precisions("cpu") == BACKEND.precisions("cpu") == ()
    (record,) = caplog.records
    assert "are left out: CXX='no-such-compiler' is no program here" in record.message
    job = Job(batch_size=1, image_size=(32, 32))
    with pytest.raises(BackendError, match="cannot be compiled: CXX='no-such-compiler' is no program here"):
        BACKEND.build(_rewritten(_network(random_network, "basic")), job, {}, tmp_path, None)
    monkeypatch.delenv("CXX")
    assert compiler.no_compiler() == "there is no C++ compiler: install g++ or clang++, or name one in CXX"
    assert list(tmp_path.iterdir()) == []


def test_a_network_built_for_other_kernels(random_network, tmp_path):
    job = Job(batch_size=1, image_size=(32, 32))
    BACKEND.build(_rewritten(_network(random_network, "basic")), job, {}, tmp_path, None)
    named = tmp_path / "kernels.txt"
    assert named.read_text() == compiler.library_key()
    named.write_text("others")
    with pytest.raises(BackendError, match="was built for other kernels than those here: build it again"):
        BACKEND.load(tmp_path, job, {})
    named.unlink()
    with pytest.raises(BackendError, match=r"kernels\.txt, which names the kernels of a built network, cannot be read"):
        BACKEND.load(tmp_path, job, {})


def test_a_portable_processor_computes_the_same(random_network, tmp_path, monkeypatch):
    compiler_name = compiler.find_compiler()
    assert compiler_name is not None
    flags = subprocess.run([compiler_name, "-dumpmachine"], capture_output=True, text=True, check=True).stdout
    if not flags.startswith("x86_64"):
        pytest.skip("the plain instructions of x86-64 are tried")
    monkeypatch.setattr(compiler, "_OPTIONS", ("-std=c++17", "-O1", "-march=x86-64", "-fPIC"))
    network = _network(random_network, "groups of 4")
    images = _images(2, 3, 67, 45)
    logits = _run(network, images, tmp_path)(images)
    with torch.inference_mode():
        assert agreement(network(images), logits).within(TOLERANCE)


@heap.counted
# Enough calls that what other libraries' threads allocate meanwhile, a few kilobytes, counts for nothing.
@pytest.mark.parametrize(
    "calls", [pytest.param(2_000, marks=pytest.mark.thorough), pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_memory_does_not_grow(calls, random_network, tmp_path):
    images = _images(1, 3, 16, 16)
    runner = _run(_network(random_network, "res2, gated"), images, tmp_path, threads=2)
    for _ in range(20):
        runner(images)
    before = heap.held()
    for _ in range(calls):
        runner(images)
    # The logits of a call, 7 floats, would be more if they were kept.
    assert heap.held() - before < 16 * calls


@heap.counted
def test_a_program_gives_its_memory_back(random_network, tmp_path):
    images = _images(1, 3, 64, 64)
    network = _network(random_network, "wide")
    _run(network, images, tmp_path)
    job = Job(batch_size=1, image_size=(64, 64), threads=2)

    def opened() -> tuple[int, int]:
        runner = BACKEND.load(tmp_path, job, {})
        runner(images)
        del runner
        return len(list(Path("/proc/self/task").iterdir())), heap.held()

    opened()
    threads, before = opened()
    for _ in range(4):
        after = opened()
    assert after[0] == threads
    assert after[1] - before < 4096  # its weights alone are megabytes


_WITHOUT_MEMORY = """
import ctypes, mmap, resource, sys
from pathlib import Path

import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.native import compiler, library
from resnexus.acceleration.backends.native import BACKEND

compiler.home = lambda: Path(sys.argv[1])
runners = []
for folder in sys.argv[2:]:
    threads, size = map(int, Path(folder).name.split())
    job = Job(batch_size=size, image_size=(64, 64), threads=threads)
    runners.append((BACKEND.load(Path(folder), job, {}), torch.ones(size, 3, 64, 64)))
kernels = library.open_library(compiler.library())
c = ctypes.CDLL(None)
c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]


def attempt(runner, images):
    try:
        return runner(images)
    except MemoryError as error:
        return str(error)


used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
taken = []
for chunk in (1 << 20, 1 << 16):  # what is free within the limit
    while (memory := c.malloc(chunk)) is not None:
        taken.append(memory)
refused, started = [attempt(*runner) for runner in runners], kernels.program_create(8, 1)
for memory in taken:
    c.free(memory)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert set(refused) == {"the kernels get no memory for what they compute on the way"}, refused
assert started is None
assert all(attempt(*runner).isfinite().all() for runner in runners)
print("went on")
"""


@pytest.mark.thorough  # a process of its own
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
def test_too_little_memory_is_an_error_and_not_the_end(random_network, tmp_path):
    folders = []
    for threads, size in [(1, 1), (2, 1), (2, 2)]:
        job = Job(batch_size=size, image_size=(64, 64), threads=threads)
        folders.append(tmp_path / f"{threads} {size}")
        folders[-1].mkdir()
        BACKEND.build(fold_batch_norm(_network(random_network, "wide")), job, {}, folders[-1], None)
    command = [sys.executable, "-c", _WITHOUT_MEMORY, str(compiler.home()), *map(str, folders)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "went on\n"), found.stderr
