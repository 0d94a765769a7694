"""Processes that train together keep the training, and stop, in the same step."""

from types import SimpleNamespace

import pytest
import torch

from clocks import ManualClock
from resnexus.training import saving
from resnexus.training.saving import ASK_EVERY, Saving
from resnexus.training.stopping import Stopped


@pytest.fixture
def kept():
    """The steps after which a checkpoint was written."""
    return []


@pytest.fixture
def trainer(kept):
    """One of two processes, in an epoch of 40 batches."""
    return SimpleNamespace(
        world_size=2,
        num_training_batches=40,
        accumulate_grad_batches=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        save_checkpoint=lambda path: kept.append(int(path.name)),
    )


def others(monkeypatch, *answers):
    """Let the other process give these answers, one after another, and then no."""
    given = iter(answers)
    monkeypatch.setattr(saving.dist, "all_reduce", lambda own: own.add_(next(given, 0.0)))


def steps(trainer, keeper, clock, count=40):
    for batch in range(count):
        clock.sleep(1)
        keeper.on_train_batch_end(trainer, SimpleNamespace(batches=batch + 1), None, None, batch)


def test_it_is_time_by_the_clock_of_any(trainer, kept, tmp_path, monkeypatch):
    clock = ManualClock()
    others(monkeypatch)
    steps(trainer, Saving(tmp_path / "checkpoints", every_s=10, clock=clock.now), clock)
    assert kept == [2 * ASK_EVERY, 4 * ASK_EVERY]  # after 10 s, when they next ask each other
    kept.clear()
    others(monkeypatch, 0.0, 1.0)  # is the other asked to stop, is it time there
    steps(trainer, Saving(tmp_path / "checkpoints", every_s=1000, clock=clock.now), clock)
    assert kept == [ASK_EVERY]


def test_all_stop_where_one_is_asked(trainer, kept, tmp_path, monkeypatch):
    clock = ManualClock()
    others(monkeypatch, 1.0)
    with pytest.raises(Stopped):
        steps(trainer, Saving(tmp_path / "checkpoints", every_s=1000, clock=clock.now), clock)
    assert kept == [ASK_EVERY]
