import pytest
import torch

from resnexus import ResnexusError
from resnexus.training import checkpoints
from resnexus.training.checkpoints import newest_training, read_training, remove_surplus, save_training, saved_trainings


def test_two_are_kept_and_the_newest_is_found(tmp_path):
    for batch in (5, 10, 1000):
        save_training({"batches": batch, "weights": torch.full((3,), float(batch))}, tmp_path, batch)
    assert [saved.batch for saved in saved_trainings(tmp_path)] == [10, 1000]
    newest = newest_training(tmp_path)
    content = read_training(newest)
    assert newest.batch == content["batches"] == 1000
    assert torch.equal(content["weights"], torch.full((3,), 1000.0))
    assert newest_training(tmp_path / "nothing") is None


def test_what_a_process_left_that_was_killed_after_the_last_is_removed(tmp_path):
    for batch in (1, 2):
        save_training({"batches": batch}, tmp_path, batch)
    kept = save_training({"batches": 3}, tmp_path / "elsewhere", 3)
    kept.path.rename(tmp_path / kept.path.name)
    kept.path.parent.rmdir()
    (tmp_path / f".{kept.path.name}.abcdefgh.new").mkdir()
    remove_surplus(tmp_path)
    assert sorted(path.name[:14] for path in tmp_path.iterdir()) == ["batch000000002", "batch000000003"]
    remove_surplus(tmp_path / "nothing")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-100], lambda data: data[:50] + b"X" + data[51:], lambda data: b""]
)
def test_a_damaged_one_is_said_and_the_one_before_serves(tmp_path, caplog, damage):
    save_training({"batches": 1}, tmp_path, 1)
    last = save_training({"batches": 2}, tmp_path, 2)
    last.path.write_bytes(damage(last.path.read_bytes()))
    assert newest_training(tmp_path).batch == 1
    assert "batch000000002" in caplog.text
    assert "is damaged" in caplog.text
    with pytest.raises(ResnexusError, match="is damaged: it does not hold what was written"):
        read_training(last)


def test_a_write_that_fails_leaves_the_old_ones(tmp_path, monkeypatch):
    for batch in (1, 2):
        save_training({"batches": batch}, tmp_path, batch)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(data, path):
        raise ResnexusError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(checkpoints, "write_bytes", full)
    with pytest.raises(ResnexusError, match="No space left on device"):
        save_training({"batches": 3}, tmp_path, 3)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    saved = save_training({"batches": 1, "evil": Evil()}, tmp_path, 1)
    with pytest.raises(Exception, match="Weights only load failed"):
        read_training(saved)
