"""What is kept of a batch whose loss is not finite."""

import pytest
import torch

from resnexus.data.batches import Batch
from resnexus.training import module

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
