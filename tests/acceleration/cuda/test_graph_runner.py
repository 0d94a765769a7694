from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from small_rows import IMAGE_SIZE, arranged, row

from resnexus.acceleration.backends.contract import DTYPES, BackendError, Job
from resnexus.acceleration.cuda.choosing import unmeasured
from resnexus.acceleration.cuda.files import read_steps, read_weights, write_network
from resnexus.acceleration.cuda.runner import GraphRunner, needed_bytes, resident
from resnexus.data.preprocess import Preprocess
from resnexus.parity.agreement import agreement

JOB = Job(batch_size=2, image_size=IMAGE_SIZE)


@pytest.fixture(scope="module")
def network(random_network):
    return random_network(row("se"), dtype=torch.float32)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    built = tmp_path_factory.mktemp("built")
    write_network(arranged(network, torch.float32), built)
    return built


def _runner(folder, job=JOB):
    record = read_steps(folder)
    return GraphRunner(record, unmeasured(record, ours=False), job, resident(record, folder, job))


def _images(count=2, seed=1):
    return torch.randn(count, 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(seed))


def test_results_are_the_callers_own(network, folder):
    runner, images = _runner(folder), _images()
    logits = runner(images)
    with torch.no_grad():
        assert agreement(network(images), logits).within(1e-5)
    kept = logits.clone()
    other = runner(_images(seed=2))
    assert torch.equal(logits, kept)
    assert not torch.equal(other, kept)
    logits.zero_()
    assert torch.equal(runner(images), kept)
    assert logits.dtype == torch.float32
    assert not logits.is_inference()


@pytest.mark.parametrize("change", [torch.Tensor.double, lambda images: images.to(memory_format=torch.channels_last)])
def test_images_may_be_of_any_floating_point_and_layout(change, folder):
    runner = _runner(folder)
    assert torch.equal(runner(change(_images())), runner(_images()))


def test_bytes_are_normalised_in_the_graph(folder):
    preprocess, runner = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125)), _runner(folder)
    bytewise = runner.of_pixels(preprocess)
    assert bytewise.there is runner.there
    for seed in (1, 2):
        pixels = torch.randint(0, 256, (2, *IMAGE_SIZE, 3), generator=torch.Generator().manual_seed(seed))
        pixels = pixels.to(torch.uint8)
        expected = runner(preprocess.normalise(pixels.numpy()))
        assert torch.equal(bytewise(pixels), expected)
        # As a batch of a decoder's may lie.
        assert torch.equal(bytewise(pixels.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)), expected)


def test_batch_sizes_share_weights_and_do_not_disturb_each_other(folder):
    two, three = _runner(folder), _runner(folder, Job(batch_size=3, image_size=IMAGE_SIZE))
    assert two.there is three.there
    expected = two(_images())
    three(_images(3, seed=5))
    assert torch.equal(two(_images()), expected)
    assert two.bytes == three.bytes > sum(tensor.nbytes for tensor in two.there.weights.tensors.values())


def test_weights_leave_the_device_with_the_last_engine(folder):
    runner = _runner(folder)
    there = weakref.ref(runner.there)
    assert _runner(folder).there is there()
    del runner
    gc.collect()
    assert there() is None


def test_several_threads_get_their_own_results(folder):
    runner = _runner(folder)
    batches = [_images(seed=seed) for seed in range(4)]
    expected = [runner(images) for images in batches]
    wrong = []

    def ask(number):
        for _ in range(10):
            if not torch.equal(runner(batches[number]), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_memory_is_told_before_it_is_taken(folder):
    record = read_steps(folder)
    one, eight = (needed_bytes(record, Job(batch_size=size, image_size=IMAGE_SIZE)) for size in (1, 8))
    assert eight == pytest.approx(8 * one, rel=0.01)
    half = needed_bytes(record, Job(batch_size=8, image_size=IMAGE_SIZE, precision="fp16"))
    assert half == pytest.approx(eight / 2, rel=0.01)


def test_damaged_files_are_errors(network, tmp_path):
    write_network(arranged(network, torch.float32), tmp_path)
    record, cpu = read_steps(tmp_path), torch.device("cpu")
    with pytest.raises(BackendError, match=r"are not those of its steps in torch.float16: build it again"):
        read_weights(record, tmp_path, DTYPES["fp16"], cpu)
    (tmp_path / "weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BackendError, match=r"the weights in .* are damaged"):
        read_weights(record, tmp_path, torch.float32, cpu)
    (tmp_path / "steps.json").write_text("{}")
    with pytest.raises(BackendError, match=r"the built network in .* is damaged"):
        read_steps(tmp_path)


def test_an_engine_that_was_opened_in_inference_mode_runs_outside_of_it(folder):
    with torch.inference_mode():
        runner = _runner(folder, Job(batch_size=1, image_size=IMAGE_SIZE))
        first = runner(_images(1))
    assert torch.equal(runner(_images(1)), first)
