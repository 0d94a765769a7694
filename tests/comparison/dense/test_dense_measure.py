from functools import cache

import pytest
import torch
from torch import nn

pytest.importorskip("pycocotools", reason="COCO's own evaluation: pip install 'resnexus[dense]'")

from resnexus.comparison.dense.measure import batches, measured
from resnexus.comparison.dense.networks import DenseNetwork, Prediction
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.comparison.dense.sources import CanvasSource
from resnexus.data.canvases import Canvases, collate_canvases
from resnexus.packages import MissingPackageError

SOURCE = CanvasSource(settings=DenseSettings(epochs=1, learning_rate=0.1, val_images=8))


@cache
def drawn():
    canvases = SOURCE.val()
    return collate_canvases([canvases[index] for index in range(len(canvases))])


class Answers(DenseNetwork):
    """Answers what it is told, whatever the images."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.layer = answers, nn.Linear(1, 1)

    def predict(self, images):
        assert not self.training
        assert len(images) == len(self.answers)
        return self.answers


def scores(answers, task, recorded):
    return measured(Answers(answers), SOURCE, task, device="cpu", progress=recorded, label="evaluating")


def test_the_truth_is_segmented_without_fault(recorded):
    assert scores([Prediction(classes=classes) for classes in drawn().labels], "segmentation", recorded) == {
        "miou": 1.0
    }
    assert recorded.stages == [("evaluating", 8, [8])]


def test_miou_counts_every_class_over_all_pixels(recorded):
    # All background: its IoU is its share of the pixels, that of the other classes 0.
    share = float((drawn().labels == 0).double().mean())
    classes = len(drawn().labels.unique())
    found = scores([Prediction(classes=torch.zeros_like(one)) for one in drawn().labels], "segmentation", recorded)
    assert found["miou"] == pytest.approx(share / classes, rel=1e-5)


def truth(scale=1.0, shift=0.0, labels=0):
    return [
        Prediction(
            boxes=target["boxes"] * scale + shift,
            labels=(target["labels"] - 1 + labels) % 10 + 1,
            scores=torch.linspace(0.9, 0.8, len(target["labels"])),
        )
        for target in drawn().targets
    ]


def test_the_truth_is_detected_without_fault(recorded):
    assert scores(truth(), "detection", recorded) == pytest.approx({"map": 1.0, "map_50": 1.0})


def test_boxes_that_lie_beside_or_are_of_another_class_are_worth_less(recorded):
    beside = scores(truth(shift=2.0), "detection", recorded)
    assert 0 < beside["map"] < beside["map_50"] <= 1
    assert scores(truth(shift=60.0), "detection", recorded)["map"] == 0
    assert scores(truth(labels=1), "detection", recorded)["map_50"] < 0.2


def test_nothing_found_is_worth_nothing(recorded):
    none = Prediction(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0))
    assert scores([none] * 8, "detection", recorded) == {"map": 0.0, "map_50": 0.0}


def test_batches_hold_every_canvas_once():
    many = Canvases(0, 51, held_out=True)
    found = list(batches(many, SOURCE))
    assert [len(batch.images) for batch in found] == [50, 1]
    assert torch.equal(found[1].images, collate_canvases([many[50]]).images)


def test_a_missing_back_end_is_named(monkeypatch, recorded):
    from resnexus.comparison.dense import measure

    def absent(name):
        raise MissingPackageError(f"{name} is not installed")

    monkeypatch.setattr(measure, "required", absent)
    with pytest.raises(MissingPackageError, match="pycocotools is not installed"):
        scores(truth(), "detection", recorded)
