"""An evaluation with plausible figures: two classes out of three, six images."""

from __future__ import annotations

import torch

from resnexus.benchmark.environment import Environment
from resnexus.data.preprocess import Preprocess
from resnexus.evaluation.calibration import calibration
from resnexus.evaluation.intervals import share
from resnexus.evaluation.predictions import Predictions
from resnexus.evaluation.significance import PairedAnswers
from resnexus.report.evaluation_record import (
    Corrupted,
    EvaluatedClass,
    EvaluatedConfusion,
    EvaluatedImages,
    EvaluatedNetwork,
    EvaluationRecord,
    Opponent,
    Variation,
)

PAIRED = PairedAnswers(images=6, both=2, first_only=1, second_only=2, difference=-1 / 6, half_width=0.4, p_value=0.0004)
PREDICTIONS = Predictions(
    logits=torch.tensor([[4.0, 1, 0], [3, 1, 0], [0, 2, 1], [1, 3, 0], [0, 5, 1], [0, 1, 2]]),
    labels=torch.tensor([0, 0, 0, 1, 1, 1]),
    competing=torch.tensor([0, 1, 2]),
    files=tuple(f"val/{name}.jpg" for name in "abcdef"),
    sha256=tuple(letter * 64 for letter in "abcdef"),
    classes=("cat", "<dog>", "pig"),
)
THUMBNAILS = {"val/c.jpg": "data:image/png;base64,AAAA", "val/f.jpg": "data:image/jpeg;base64,BBBB"}


def build(**changes) -> EvaluationRecord:
    fields = {
        "network": EvaluatedNetwork(
            name="SE_ResNet18_vd",
            architecture="SE_ResNet18_vd",
            weights_sha256="1" * 64,
            published="SE_ResNet18_vd",
            published_top1=0.7333,
            published_top5=0.9138,
        ),
        "images": EvaluatedImages(
            name="val",
            labels="wnid",
            what="folders called by WordNet numbers",
            part="every image",
            count=6,
            classes=2,
            competing=3,
            sha256="2" * 64,
            skipped=("val/g.jpg: damaged",),
            ignored=(),
        ),
        "preprocess": Preprocess(),
        "precision": "fp32",
        "device": "cpu",
        "command": "resnexus evaluate SE_ResNet18_vd --data val",
        "environment": Environment(
            date="2025-06-01T12:00:00+00:00",
            cpu="Some Processor 9000",
            cores=2,
            threads=2,
            memory_gib=15.6,
            gpu=None,
            system="Linux 6.1",
            python="3.12.4",
            packages={"resnexus": "0.1.0", "torch": "2.14.1"},
        ),
        "seconds": 12.5,
        "predictions_sha256": PREDICTIONS.digest,
        "top1": share(4, 6),
        "top5": share(6, 6),
        "real": share(4, 5),
        "calibration": calibration(PREDICTIONS.logits, PREDICTIONS.labels),
        "classes": (
            EvaluatedClass(name="cat", top1=share(2, 3), taken_for="<dog>", times=1),
            EvaluatedClass(name="<dog>", top1=share(2, 3), taken_for="pig", times=1),
        ),
        "confusions": (
            EvaluatedConfusion(label="cat", predicted="<dog>", images=1, share=1 / 3, files=("val/c.jpg",)),
            EvaluatedConfusion(label="<dog>", predicted="pig", images=1, share=1 / 3, files=("val/f.jpg",)),
        ),
        "variations": (
            Variation(
                kind="size",
                name="288 pixels",
                preprocess=Preprocess(size=288, resize_short=329),
                top1=share(3, 6),
                top5=share(6, 6),
                paired=PAIRED,
            ),
            Variation(
                kind="sensitivity",
                name="Pillow's bilinear resize",
                preprocess=Preprocess(antialias=True),
                top1=share(3, 5),
                top5=share(5, 5),
                paired=None,
            ),
        ),
        "corruptions": tuple(
            Corrupted(name=name, family=family, severity=severity, top1=share(right, 6), top5=share(6, 6))
            for name, family, severity, right in (
                ("gaussian_noise", "noise", 1, 3),
                ("gaussian_noise", "noise", 3, 1),
                ("fog", "weather", 1, 4),
                ("fog", "weather", 3, 2),
            )
        ),
        "corruption_seed": 0,
        "against": Opponent(name="other.safetensors", predictions_sha256="3" * 64, paired=PAIRED),
        "notes": ("3 classes compete, and 2 of them have images.",),
    }
    return EvaluationRecord(**fields | changes)
