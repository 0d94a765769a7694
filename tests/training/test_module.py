"""A batch that cannot be trained on: what is kept of it, and when it is skipped."""

import pytest
import torch

from resnexus import ResnexusError
from resnexus.data.batches import BadImage, Batch, collate
from resnexus.data.order import EpochOrder
from resnexus.training import module
from resnexus.training.loader import TrainingLoader
from resnexus.training.recipe import Recipe

BATCH = Batch(images=torch.rand(64, 1, 8, 8), labels=torch.arange(64))


def test_the_batch_is_written(tmp_path):
    path = tmp_path / "batch.pt"
    assert module._kept(BATCH, path) == f"the batch is kept in {path}"
    found = torch.load(path)
    assert torch.equal(found["images"], BATCH.images)
    assert torch.equal(found["labels"], BATCH.labels)


def test_a_full_disk_does_not_end_the_process(tmp_path):
    resource = pytest.importorskip("resource", reason="file sizes are not limited here")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit of file sizes fails in the same place as a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        said = module._kept(BATCH, tmp_path / "batch.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said.startswith(f"the batch is not kept: cannot write {tmp_path}/batch.pt: File too large")
    assert list(tmp_path.iterdir()) == []


def learner(processes):
    """One of several processes, or the only one, whose batches are halves of eight images each."""
    loader = TrainingLoader([], EpochOrder(images=20, batch_size=8, processes=processes), collate=collate)
    return module.Classifier(torch.nn.Linear(2, 2), 2, Recipe(), loader, allow_bad_images=True)


ONE = Batch(images=torch.rand(1, 1, 8, 8), labels=torch.arange(1), bad=(BadImage("cats/2.jpg", "is truncated"),))


def test_one_process_skips_a_batch_that_has_fewer_than_two_images():
    alone = learner(1)
    assert alone.training_step(ONE, 0) is None
    assert alone.batches == 1


def test_one_of_several_processes_skips_none():
    shared = learner(2)
    shared.batches = 4
    with pytest.raises(
        ResnexusError,
        match=r"process 1 of 2 has fewer than two images in epoch 2, batch 2, .*: cats/2.jpg: is truncated. Remove the",
    ):
        shared.training_step(ONE, 0)
