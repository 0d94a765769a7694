from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
import torch

import resnexus
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.native import BACKEND
from resnexus.acceleration.native import compiler
from resnexus.rewrites.folding import fold_batch_norm

pytestmark = pytest.mark.skipif(compiler.find_compiler() is None, reason="there is no C++ compiler")


@pytest.fixture(scope="module")
def built(random_network, tmp_path_factory):
    """A small network for one image, built."""
    row = resnexus.Architecture(
        name="tiny", block="bottleneck", depths=(1, 1), groups=4, width=8, out_width=32, stem_width=16
    )
    folder = tmp_path_factory.mktemp("built")
    BACKEND.build(
        fold_batch_norm(random_network(row, dtype=torch.float32)),
        Job(batch_size=1, image_size=(33, 47)),
        {},
        folder,
        None,
    )
    return lambda threads: BACKEND.load(folder, Job(batch_size=1, image_size=(33, 47), threads=threads), {})


def _tasks() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="affinities are those of Linux")
def test_workers_may_run_wherever_the_process_may(built):
    before = _tasks()
    runners = [built(3), built(2)]
    workers = _tasks() - before
    assert len(workers) == 3
    usable = os.sched_getaffinity(0)
    for runner in runners:
        runner(torch.zeros(1, 3, 33, 47))
    assert all(os.sched_getaffinity(worker) == usable for worker in workers)


def test_pools_side_by_side_compute_what_one_computes(built):
    images = torch.randn(1, 3, 33, 47, generator=torch.Generator().manual_seed(1))
    expected = built(1)(images)
    runners = [built(threads) for threads in (1, 2, 2, 5)]
    wrong: list[int] = []

    def call(index: int) -> None:
        if not all(torch.equal(runners[index](images), expected) for _ in range(20)):
            wrong.append(index)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(runners))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
