"""A comparison with plausible figures: three backbones, three seeds, one canvas of 2x4 pixels."""

from __future__ import annotations

import pytest

from resnexus.benchmark.environment import environment
from resnexus.report.dense.record import Box, DenseComparison, DenseRun, DenseTrained, Example, Milestone, Scene

BACKBONES = (
    # name, family, gflops, score of each seed
    ("ResNet_small", "ResNet", 0.0233, (0.50, 0.52, 0.51)),
    ("ResNeXt_small", "ResNeXt", 0.0241, (0.56, 0.57, 0.57)),
    ("Res2Net_small", "Res2Net", 0.0236, (0.49, 0.53, 0.51)),
)
_PIXELS = ("00408000", "ff20c0e0")


@pytest.fixture(scope="session")
def build():
    def make(task: str = "segmentation", seeds: int = 3, backbones=BACKBONES) -> DenseComparison:
        boxes = task == "detection"
        box = Box(left=0.5, top=0.0, right=2.0, bottom=1.5, label="7")
        truth = Scene(boxes=(box,)) if boxes else Scene(classes=(".77.", "3..."))
        sure = Box(left=0.0, top=0.0, right=2.0, bottom=2.0, label="1", score=0.9)
        found = Scene(boxes=(sure,)) if boxes else Scene(classes=(".7..", "3333"))
        return DenseComparison(
            task=task,
            train_images=512,
            val_images=200,
            image_size=64,
            settings={"epochs": 2, "weights": "random"},
            environment=environment(),
            examples=(Example(pixels=_PIXELS, truth=truth),),
            networks=tuple(
                DenseTrained(
                    name=name,
                    family=family,
                    gflops=gflops,
                    mparams=0.25,
                    runs=tuple(
                        DenseRun(
                            seed=seed,
                            scores={"map": score, "map_50": score + 0.2} if boxes else {"miou": score},
                            losses=(2.0, 1.0 + seed),
                            curve=(Milestone(epoch=1, score=score / 2), Milestone(epoch=2, score=score)),
                            seconds=40.0,
                            found=(found,),
                        )
                        for seed, score in enumerate(scores[:seeds])
                    ),
                )
                for name, family, gflops, scores in backbones
            ),
        )

    return make
