from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import re
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import heap
from resnexus.acceleration.accelerate import accelerate
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.engine import BatchSizeWarning, Engine
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import agreement

pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")


OPTIONS = {"image_size": 16, "threads": 1, "backends": ["openvino"], "seconds": 0.05}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def engine(smallest, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return accelerate(smallest, batch_sizes=(4, 1), cache_dir=folder, **OPTIONS)


def _expected(smallest, images):
    with torch.inference_mode():
        return smallest(images)


def test_planned_sizes_need_no_word(engine, smallest, tiny_images):
    assert engine.batch_sizes == (1, 4)
    assert agreement(_expected(smallest, tiny_images), engine(tiny_images)).within(1e-5)
    assert agreement(_expected(smallest, tiny_images[2:3]), engine(tiny_images[2:3])).within(1e-5)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 9])
def test_other_sizes_are_right_and_said_once(size, engine, smallest):
    images = torch.randn(size, 3, 16, 16)
    with pytest.warns(BatchSizeWarning, match=rf"a batch of {size} was not planned for and runs as batches of 1, 4"):
        first = engine(images)
    second = engine(images)  # a second warning would be an error
    assert torch.equal(first, second)
    assert agreement(_expected(smallest, images), first).within(1e-5)


def test_a_rest_smaller_than_every_planned_size_is_filled_up(engine, smallest, folder):
    only_four = accelerate(smallest, batch_sizes=[4], cache_dir=folder, **OPTIONS)
    images = torch.randn(6, 3, 16, 16)
    with pytest.warns(BatchSizeWarning, match=r"a batch of 6 was not planned for and runs as batches of 4:"):
        logits = only_four(images)
    assert agreement(_expected(smallest, images), logits).within(1e-5)


def test_arrays_other_floats_and_strided_images(engine, smallest, tiny_images):
    expected = engine(tiny_images)
    assert torch.equal(engine(tiny_images.numpy()), expected)
    assert torch.equal(engine(tiny_images.double()), expected)
    assert torch.equal(engine(tiny_images.to(memory_format=torch.channels_last)), expected)
    assert torch.equal(engine(np.asfortranarray(tiny_images.numpy())), expected)
    assert torch.equal(engine(tiny_images.clone().requires_grad_()), expected)
    assert not expected.requires_grad


@pytest.mark.parametrize(
    "convert",
    [
        lambda array: array.astype(">f4"),
        lambda array: array.astype(">f8"),
        lambda array: array.astype(np.longdouble),
        lambda array: array[:, ::-1].copy()[:, ::-1],
        lambda array: np.lib.stride_tricks.as_strided(array, writeable=False),
        lambda array: np.frombuffer(b"." + array.tobytes(), "V1")[1:].view(np.float32).reshape(array.shape),
    ],
)
def test_arrays_of_any_kind_are_taken_without_a_warning(convert, engine, tiny_images):
    array = convert(tiny_images.numpy())
    before = array.copy()
    assert torch.equal(engine(array), engine(tiny_images))
    assert np.array_equal(array, before)


def test_half_precision_arrays_and_values_that_float32_does_not_hold(engine, tiny_images):
    half = tiny_images.half()
    assert torch.equal(engine(half.numpy()), engine(half.float()))
    huge = tiny_images.double().numpy().copy()
    huge[0, 0, 0, 0] = 1e300  # infinite, as in a tensor
    assert torch.equal(engine(huge).isfinite(), engine(torch.from_numpy(huge)).isfinite())


def test_negative_views_are_what_they_show(engine, tiny_images):
    conjugate = torch.complex(torch.zeros_like(tiny_images), -tiny_images).conj()
    for view in (torch._neg_view(-tiny_images), conjugate.imag):
        assert view.is_neg()
        assert torch.equal(view, tiny_images)
        assert torch.equal(engine(view), engine(tiny_images))


@pytest.mark.parametrize("use", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_engine_is_not_passed_on(use, engine):
    with pytest.raises(ResnexusError, match=r"^an engine cannot be pickled or copied, .* call accelerate in each"):
        use(engine)


def test_no_images_give_no_logits(engine):
    assert engine(torch.zeros(0, 3, 16, 16)).shape == (0, 7)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 16, 17), r"images of shape \(1, 3, 16, 17\): this engine was made for \(N, 3, 16, 16\)"),
        (torch.zeros(3, 16, 16), r"images of shape \(3, 16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), r"images of torch.uint8: expected floating point"),
        (torch.zeros(1, 3, 16, 16, device="meta"), r"images on meta: this engine runs on the CPU"),
        (torch.zeros(1, 3, 16, 16).to_sparse(), r"images in layout torch.sparse_coo: expected dense ones"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.complex64), r"images of torch.complex64: expected floating point"),
        (np.zeros((1, 3, 16, 16), np.uint8), r"images of uint8: expected floating point"),
        (np.zeros((1, 3, 16, 16), object), r"images of object: expected floating point"),
        (np.float32(1), r"images are float32: expected a tensor or array"),
        ([[1.0]], r"images are list: expected a tensor or array \(N, 3, 16, 16\)"),
    ],
)
def test_refusals(images, message, engine):
    with pytest.raises(ResnexusError, match=message):
        engine(images)


def _called_from_threads(engine, count: int, calls: int, meanwhile=lambda: None) -> list[int]:
    """Call an engine from several threads, and return which batches came out otherwise than alone."""
    batches = [torch.randn(4 if index % 2 else 1, 3, 16, 16) for index in range(8)]
    expected = [engine(batch) for batch in batches]
    wrong = []

    def work(start: int) -> None:
        for step in range(calls):
            index = (start + step) % len(batches)
            if not torch.equal(engine(batches[index]), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(count)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        meanwhile()
    for thread in threads:
        thread.join()
    return wrong


def test_threads_share_an_engine(engine):
    assert _called_from_threads(engine, 4, 40, lambda: time.sleep(0.01)) == []


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no process is forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_is_told_to_open_its_own(engine, tiny_images):
    forking = multiprocessing.get_context("fork")
    said, child_says = forking.Pipe(duplex=False)

    def child():
        try:
            engine(tiny_images)
        except ResnexusError as error:
            child_says.send(str(error))

    process = forking.Process(target=child)
    process.start()
    assert said.poll(60)
    assert re.match(r"this engine was opened in process \d+ .* was forked: call accelerate in each", said.recv())
    process.join(60)
    assert process.exitcode == 0
    engine(tiny_images)


@heap.counted
@pytest.mark.parametrize("calls", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow(calls, engine, tiny_images):
    for _ in range(20):
        engine(tiny_images)
    before = heap.held()
    for _ in range(calls):
        engine(tiny_images)
    # One set of logits a call that is not freed would be 112 bytes, one batch of images 12 kB.
    assert heap.held() - before < 50 * calls


def test_what_was_chosen_is_explained(engine):
    lines = engine.explain().splitlines()
    assert [line.split(":")[0] for line in lines] == ["batch 1", "batch 4"]
    assert "of the plain network when planned" in lines[0]
    assert lines[0].endswith("same class for 100 % of 1 image")
    assert lines[1].endswith("same class for 100 % of 4 images")


@pytest.mark.parametrize(("fraction", "words"), [(1.0, "100 %"), (0.9999, "99.9 %"), (0.5, "50 %"), (0.0, "0 %")])
def test_all_is_only_said_of_all(fraction, words, engine):
    job, plan, runner = Job(batch_size=1, image_size=(16, 16)), engine.plans[1], engine._runners[1]
    plan = replace(plan, agreement=replace(plan.agreement, top1=fraction), images=300)
    assert f"same class for {words} of 300 images" in Engine({1: (job, plan, runner)}, 7).explain()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_threads_go_on_while_processes_are_forked(engine, tiny_images):
    ends = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                engine(tiny_images)
            except ResnexusError:
                os._exit(0)
            finally:
                os._exit(1)
        ends.append(os.waitpid(child, 0)[1])
        time.sleep(0.05)  # a fork holds up all threads

    assert _called_from_threads(engine, 5, 5_772, fork) == []
    assert set(ends) == {0}


def test_on_a_gpu_other_sizes_take_the_next_larger_and_are_filled_up(engine, smallest):
    asked = []

    def runner(images):
        asked.append(len(images))
        with torch.no_grad():
            return smallest(images)

    there = {
        size: (replace(engine._jobs[1], batch_size=size, device="cuda"), engine.plans[1], runner) for size in (1, 8)
    }
    on_gpu = Engine(there, classes=7)
    for count, sizes, said in (
        (5, [8], "8, filled up with zeros"),
        (10, [8, 8], "8, 8, filled up"),
        (9, [8, 1], "8, 1:"),
    ):
        images = torch.randn(count, 3, 16, 16)
        asked.clear()
        with pytest.warns(
            BatchSizeWarning, match=rf"a batch of {count} was not planned for and runs as batches of {said}"
        ):
            logits = on_gpu(images)
        assert asked == sizes
        assert agreement(_expected(smallest, images), logits).within(1e-5)
