"""A training that was interrupted ends as if it had not been."""

import csv
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import resnexus
from resnexus import ResnexusError
from resnexus.data.augment import Augment
from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import ImageArrays
from resnexus.training.checkpoints import saved_trainings
from resnexus.training.module import Classifier
from resnexus.training.recipe import Recipe
from resnexus.training.saving import Saving, Stopped
from resnexus.training.train import train

ROW = resnexus.Architecture(
    name="t", block="bottleneck", depths=(1,), width=4, out_width=8, stem="small", stem_width=8, se_reduction=2
)
RECIPE = Recipe().changed({"epochs": 2, "global_batch_size": 16, "mixup_alpha": 0.2, "ema_decay": 0.9})


@pytest.fixture(scope="module")
def digits():
    data = open_dataset("digits", augment=Augment(crop_area=None, flip=0, shift=1))

    def some(part, count, augment):
        return ImageArrays(
            part.pixels[:count], part.labels.numpy()[:count], data.classes, preprocess=data.preprocess, augment=augment
        )

    return some(data.train, 50, data.train.augment), some(data.val, 30, None)


def network():
    torch.manual_seed(0)
    return resnexus.create_model(ROW, num_classes=10, in_chans=1)


def run(digits, out, stops, monkeypatch, recipe=RECIPE, **options):
    """Train, stopped after each of `stops` batches and started again; return the weights and the outcome."""
    for stop in [*stops, None]:
        trained = network()
        monkeypatch.setattr(
            Saving, "_stops", lambda self, trainer, _, stop=stop: trainer.lightning_module.batches == stop
        )
        try:
            outcome = train(trained, *digits, recipe, out, **options)
            return trained.state_dict(), outcome
        except Stopped:
            assert stop is not None
    raise AssertionError("it never ended")


def test_tensorboard_shows_every_epoch_once(digits, tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _, outcome = run(digits, tmp_path, [5], monkeypatch, tensorboard=True)
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("train_loss", "lr", "top1", "top5"):
        shown = [(event.step, event.value) for event in board.Scalars(name)]
        assert shown == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in outcome.rows], name


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    trained = network()
    outcome = train(trained, *digits, RECIPE, tmp_path_factory.mktemp("whole"))
    return trained.state_dict(), outcome


# 4 batches an epoch: in the first, in the middle, at the end of an epoch, at the end of all, and one after another.
@pytest.mark.parametrize("stops", [[1], [3], [4], [8], [2, 3], [1, 4, 5, 8]], ids=str)
def test_it_ends_the_same_to_the_bit(digits, uninterrupted, tmp_path, monkeypatch, stops):
    weights, outcome = uninterrupted
    found, again = run(digits, tmp_path, stops, monkeypatch)
    assert [name for name in weights if not torch.equal(weights[name], found[name])] == []
    assert again.rows == outcome.rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"accumulate": 2}, {"optimizer": "lamb"}, {"optimizer": "adamw"}, {"workers": 2}], ids=str
)
def test_it_ends_the_same_with_other_settings(digits, tmp_path, monkeypatch, changes):
    recipe = RECIPE.changed(changes)
    weights, outcome = run(digits, tmp_path / "whole", [], monkeypatch, recipe)
    found, again = run(digits, tmp_path / "parts", [2, 4, 6], monkeypatch, recipe)
    assert [name for name in weights if not torch.equal(weights[name], found[name])] == []
    assert again.rows == outcome.rows


def test_with_a_teacher_it_ends_the_same_to_the_bit(digits, tmp_path, monkeypatch):
    recipe = RECIPE.changed({"distillation": "symmetric_kl", "label_weight": 0, "teacher_statistics": "batch"})

    def teacher():
        torch.manual_seed(1)
        return resnexus.create_model(ROW, num_classes=10, in_chans=1)

    weights, outcome = run(digits, tmp_path / "whole", [], monkeypatch, recipe, teacher=teacher())
    found, again = run(digits, tmp_path / "parts", [3, 4], monkeypatch, recipe, teacher=teacher())
    assert [name for name in weights if not torch.equal(weights[name], found[name])] == []
    assert again.rows == outcome.rows


def test_accumulated_batches_are_one_step(digits, tmp_path):
    # Without normalisation over the batch, mixup and a smaller last batch, two halves make exactly the whole.
    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.head = torch.nn.Linear(64, 10)

        def forward(self, images):
            return self.head(images.flatten(1).double())

    train_images = ImageArrays(
        digits[0].pixels[:32], digits[0].labels.numpy()[:32], digits[0].classes, preprocess=digits[0].preprocess
    )
    found = []
    for accumulate in (1, 2):
        recipe = Recipe().changed(
            {"epochs": 3, "global_batch_size": 16, "accumulate": accumulate, "channels_last": False}
        )
        trained = Linear().double()
        train(trained, train_images, digits[1], recipe, tmp_path / str(accumulate))
        found.append(trained.head.weight)
    assert torch.allclose(*found, rtol=1e-9, atol=0)


def test_what_is_left_is_told_in_images_and_filled(digits, tmp_path, monkeypatch, recorded):
    """After a stop in the middle of the second of two epochs of 50 images."""
    run(digits, tmp_path, [6], monkeypatch, progress=recorded, label="t")
    whole = [16, 16, 16, 2]
    assert recorded.stages == [("t, images", 100, [*whole, *whole[:2]]), ("t, images", 18, whole[2:])]


def test_a_training_that_is_done_has_nothing_left(digits, tmp_path, monkeypatch, recorded):
    run(digits, tmp_path, [], monkeypatch)
    run(digits, tmp_path, [], monkeypatch, progress=recorded, label="t")
    assert recorded.stages == [("t, images", 0, [])]


def test_the_figures_of_every_epoch_are_kept(digits, uninterrupted, tmp_path):
    kept = []
    outcome = train(
        network(), *digits, RECIPE, tmp_path, keep=lambda state, row, name: kept.append((name, row["epoch"], state))
    )
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["top1"]) for row in rows] == [row["top1"] for row in outcome.rows]
    assert [(name, epoch) for name, epoch, _ in kept if name == "last"] == [("last", 1), ("last", 2)]
    assert ("best", outcome.best["epoch"]) in [(name, epoch) for name, epoch, _ in kept]
    assert 0 <= outcome.waiting <= 1
    # What is kept are the averages, which are not the weights.
    last = [state for name, _, state in kept if name == "last"][-1]
    assert not torch.equal(last["head.weight"], uninterrupted[0]["head.weight"])
    assert json.loads((tmp_path / "recipe.json").read_text())["epochs"] == 2


def test_further_figures_are_in_the_rows_of_their_epochs(digits, uninterrupted, tmp_path):
    trained, seen = network(), []

    def measure(epoch):
        seen.append((epoch, trained.training))
        return {"extra": 0.5} if epoch == 2 else {}

    outcome = train(trained, *digits, RECIPE, tmp_path, measure=measure)
    assert seen == [(1, False), (2, False)]
    assert [row.get("extra") for row in outcome.rows] == [None, 0.5]
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [row["extra"] for row in rows] == ["", "0.5"]
    weights, _ = uninterrupted
    assert [name for name, value in trained.state_dict().items() if not torch.equal(weights[name], value)] == []


def test_another_recipe_in_the_same_folder_is_refused(digits, tmp_path, monkeypatch):
    run(digits, tmp_path, [], monkeypatch, conditions={"data": "a"})
    for recipe, data, message in (
        (RECIPE.changed({"lr": 0.5}), "a", r"holds a training with lr=0.1, not 0.5: give another folder"),
        (RECIPE, "b", r"holds a training with data='a', not 'b'"),
    ):
        with pytest.raises(ResnexusError, match=message):
            train(network(), *digits, recipe, tmp_path, conditions={"data": data})
    # How many processes read the images changes nothing.
    train(network(), *digits, RECIPE.changed({"workers": 1}), tmp_path, conditions={"data": "a"})


def test_a_finished_training_leaves_no_more_checkpoints_than_it_keeps(digits, tmp_path):
    train(network(), *digits, RECIPE, tmp_path)
    folder = tmp_path / "checkpoints"
    kept = sorted(path.name for path in folder.iterdir())
    # As if it had been killed right after it wrote the last one.
    (folder / f"batch000000001-{'0' * 16}.ckpt").touch()
    (folder / f".{kept[-1]}.abcdefgh.new").mkdir()
    train(network(), *digits, RECIPE, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == kept


def test_factors_without_a_stage_are_refused_before_the_folder_is_taken(digits, tmp_path):
    recipe = RECIPE.changed({"stage_lr": [0.1, 0.2, 1.0]})
    with pytest.raises(ResnexusError, match="number of factors 3, stages of the network 1: expected 2"):
        train(network(), *digits, recipe, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object, found a list"),
        ("null", "expected an object, found null"),
        ("{", "is not JSON"),
        ('{"lr": 0.5}', "holds a training with .*=None, not"),
    ],
)
def test_a_damaged_recipe_in_the_folder_is_refused(digits, tmp_path, text, message):
    out = tmp_path / "\x1b[1mout"  # a terminal would print it bold
    out.mkdir()
    (out / "recipe.json").write_text(text)
    with pytest.raises(ResnexusError, match=rf"\\x1b\[1mout.*{message}.*give another folder"):
        train(network(), *digits, RECIPE, out)


def test_another_number_of_processes_does_not_go_on(digits, tmp_path):
    """The place in the training and the images of a batch follow from it."""
    conditions = {**RECIPE.flat(), "processes": 2}
    conditions.pop("workers")
    (tmp_path / "recipe.json").write_text(json.dumps(conditions))
    with pytest.raises(ResnexusError, match="holds a training with processes=2, not 1: give another folder"):
        train(network(), *digits, RECIPE, tmp_path)


def test_a_loss_that_is_not_finite_keeps_its_batch(digits, tmp_path):
    broken = network()
    with torch.no_grad():
        broken.head.bias.fill_(float("inf"))
    with pytest.raises(ResnexusError, match=r"the loss became nan in epoch 1, batch 1: .*batch000000000-not-finite"):
        train(broken, *digits, RECIPE, tmp_path)
    batch = torch.load(tmp_path / "batch000000000-not-finite.pt")
    assert batch["images"].shape == (16, 1, 8, 8)


def test_frozen_parts_stay_as_they_are(digits, tmp_path):
    trained = network()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    train(trained, *digits, RECIPE.changed({"freeze_stages": 1, "ema_decay": 0.0}), tmp_path)
    for name, value in trained.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("stem."), name


def test_frozen_parts_stay_as_they_are_in_an_epoch_that_goes_on_in_its_middle(digits, tmp_path, monkeypatch):
    before = network().state_dict()
    recipe = RECIPE.changed({"freeze_stages": 1, "ema_decay": 0.0})
    found, _ = run(digits, tmp_path, [2], monkeypatch, recipe)
    assert [name for name in found if torch.equal(found[name], before[name]) != name.startswith("stem.")] == []


def test_what_is_frozen_is_so_before_processes_share_their_gradients(digits, tmp_path, monkeypatch):
    """They wait for the gradient of every parameter that needs one when they meet, which is when this is asked."""

    def asked(self):
        raise ResnexusError(" ".join(name for name, one in self.network.named_parameters() if one.requires_grad))

    monkeypatch.setattr(Classifier, "configure_optimizers", asked)
    with pytest.raises(ResnexusError) as caught:
        train(network(), *digits, RECIPE.changed({"freeze_stages": 1}), tmp_path)
    assert {name.partition(".")[0] for name in str(caught.value).split()} == {"stages", "head"}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"accumulate": 3}, {}, "global_batch_size=16: expected a multiple of accumulate=3"),
        ({"precision": "fp16"}, {"device": "cpu"}, "precision='fp16' is not for the CPU: set precision=bf16"),
        ({}, {"device": "abacus"}, "unknown device 'abacus'"),
        ({}, {"device": "cpu", "devices": 0}, "devices=0: expected at least 1"),
        ({"freeze_stages": 1}, {}, "freeze_stages=1: a Sequential has no stem and stages to freeze: set it to 0"),
        ({"drop_path": 0.1}, {}, "drop_path=0.1: a Sequential has no blocks with a drop_path"),
    ],
)
def test_what_cannot_be_trained_leaves_the_folder_to_what_can(digits, tmp_path, changes, options, message):
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    with pytest.raises(ResnexusError, match=message):
        train(plain, *digits, RECIPE.changed(changes), tmp_path, **options)
    assert not (tmp_path / "recipe.json").exists()


def test_a_training_in_another_thread_hears_no_signal(digits, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(train, network(), *digits, RECIPE.changed({"epochs": 1}), tmp_path).result()
    assert len(outcome.rows) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_is_heard_by_us_alone_and_given_back(digits, tmp_path, monkeypatch):
    """Lightning's handler would speak to the other processes from wherever this one is."""
    before, heard = signal.getsignal(signal.SIGTERM), []

    def loss(self, batch, draws):
        heard.append(signal.getsignal(signal.SIGTERM))
        raise ResnexusError("enough")

    monkeypatch.setattr(Classifier, "loss", loss)
    with pytest.raises(ResnexusError, match="enough"):
        train(network(), *digits, RECIPE, tmp_path)
    assert [handler.__func__ for handler in heard] == [Saving._ask]
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_keeps_the_training_and_it_ends_the_same_to_the_bit(digits, uninterrupted, tmp_path, monkeypatch):
    weights, outcome = uninterrupted
    loss = Classifier.loss

    def asked(self, batch, draws):
        if self.batches == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, batch, draws)

    monkeypatch.setattr(Classifier, "loss", asked)
    with pytest.raises(Stopped):
        train(network(), *digits, RECIPE, tmp_path)
    monkeypatch.undo()
    assert [saved.batch for saved in saved_trainings(tmp_path / "checkpoints")] == [3]
    found = network()
    assert train(found, *digits, RECIPE, tmp_path).rows == outcome.rows
    assert [name for name, value in found.state_dict().items() if not torch.equal(weights[name], value)] == []


def test_a_second_sigterm_ends_it_at_once(digits, tmp_path, monkeypatch):
    def asked_twice(self, batch, draws):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    monkeypatch.setattr(Classifier, "loss", asked_twice)
    with pytest.raises(SystemExit) as ended:
        train(network(), *digits, RECIPE, tmp_path)
    assert ended.value.code == 143
    assert saved_trainings(tmp_path / "checkpoints") == []
