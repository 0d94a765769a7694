"""Our file of weights: the same content is the same bytes, in whatever order safetensors would write it."""

import pytest
import torch
from safetensors import safe_open

from resnexus.weights.checkpoint_file import (
    CheckpointFileError,
    CheckpointRecord,
    read_checkpoint,
    read_record,
    write_checkpoint,
)


def test_the_same_weights_are_the_same_bytes(tmp_path):
    """safetensors draws the order of its metadata: of sixteen files with two entries, some differ but for luck."""
    state = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.float16)}
    record = CheckpointRecord(classes=("é\n\t\x01\x7f", '"\\/', "\u2028"), source="x")
    path, found = tmp_path / "own.safetensors", set()
    for _ in range(16):
        write_checkpoint(state, path, record)
        found.add(path.read_bytes())
    assert len(found) == 1
    assert read_record(path) == record
    again = read_checkpoint(path)
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    with safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "pt"


def test_a_missing_file_is_named_once(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(CheckpointFileError) as caught:
        read_checkpoint(path)
    assert str(caught.value) == f"cannot read {path}: No such file or directory"
