"""Measure what bf16 and int8 cost in accuracy: top-1 and logits of the trained digits siblings, engine against network.

    resnexus compare --data digits --out FOLDER --series none
    python -m studies.quantised_siblings FOLDER results/quantised_siblings_cpu_DATE.json

Every network is evaluated on all validation images in one batch, as the plain network in float32 and as the engine
that `accelerate` makes of it. One image is 100 / 359 = 0.28 points of top-1, so a single loss says little: `lost` and
`gained` count the images that the plain network had right and the engine wrong, and the reverse, and the summary has
the mean and the spread over networks and seeds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from resnexus.acceleration.accelerate import accelerate
from resnexus.acceleration.backends.contract import Precision
from resnexus.acceleration.planning.planner import PlanWarning
from resnexus.architectures.network import Network
from resnexus.architectures.siblings import SIBLINGS
from resnexus.benchmark.environment import environment
from resnexus.comparison.jobs import Training, TrainingData
from resnexus.comparison.kept import finished, trained_network
from resnexus.comparison.settings import Settings
from resnexus.data.augment import Augment
from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import ImageArrays, Splits
from resnexus.evaluation.evaluate import evaluate
from resnexus.parity.agreement import agreement
from resnexus.records import write_json

PRECISIONS: tuple[Precision, ...] = ("bf16", "int8")

CALIBRATION_IMAGES = 300

SEEDS = 3

# How `resnexus compare` trains on the digits.
AUGMENT = Augment(crop_area=None, flip=0.0, shift=1)


def trained(
    folder: Path, data: Splits, names: Sequence[str] = tuple(SIBLINGS), seeds: int = SEEDS
) -> list[tuple[Training, Network]]:
    """Return siblings of every seed, as `resnexus compare` left it with its default settings."""
    found = []
    learned = TrainingData(splits=data, augment=AUGMENT)
    for name in names:
        for seed in range(seeds):
            job = Training(row=SIBLINGS[name], weights=None, seed=seed, data=learned, settings=Settings())
            if finished(job, folder) is None:
                raise SystemExit(
                    f"{folder} holds no {job.name} trained with the default settings: "
                    f"resnexus compare --data digits --out {folder} --series none"
                )
            found.append((job, trained_network(job, folder)))
    return found


def calibration_images(train: ImageArrays) -> torch.Tensor:
    """Return images spread evenly over the training images, not augmented: prepared like those to come."""
    return train.images()[torch.linspace(0, len(train) - 1, CALIBRATION_IMAGES).long()]


def measure(job: Training, network: Network, cache: Path, seconds: float) -> dict[str, Any]:
    """Return top-1 of the network and of its engines, in percent, and how the engines agree with the network."""
    val, train = job.data.splits.val, job.data.splits.train
    if not isinstance(val, ImageArrays) or not isinstance(train, ImageArrays):
        raise TypeError("the digits are images in memory")
    images, labels, size = val.images(), val.labels, len(val)
    plain = evaluate(network, val, batch_size=size)
    with torch.inference_mode():
        logits = network(images)
    right = logits.argmax(1) == labels
    result: dict[str, Any] = {"network": job.row.name, "seed": job.seed, "top1_fp32": 100 * plain.top1}
    for precision in PRECISIONS:
        engine = accelerate(
            network,
            precision=precision,
            batch_sizes=[size],
            image_size=images.shape[-1],
            calibration=calibration_images(train) if precision == "int8" else None,
            backends=["openvino"],
            cache_dir=cache,
            seconds=seconds,
        )
        top1 = evaluate(engine, val, batch_size=size).top1
        theirs = engine(images)
        also_right = theirs.argmax(1) == labels
        close = agreement(logits, theirs)
        result[precision] = {
            "form": str(engine.plans[size].candidate),
            "top1": 100 * top1,
            "loss_points": 100 * (plain.top1 - top1),
            "lost": int((right & ~also_right).sum()),
            "gained": int((~right & also_right).sum()),
            "max_rel": close.max_rel,
            "cosine": close.cosine,
            "same_class": close.top1,
        }
    return result


def summary(results: Sequence[dict[str, Any]], precision: Precision) -> dict[str, Any]:
    """Return the mean loss with its spread, and the worst agreement."""
    cells = [result[precision] for result in results]
    losses = [cell["loss_points"] for cell in cells]
    deviation = statistics.stdev(losses)
    return {
        "trainings": len(cells),
        "top1_fp32_mean": statistics.mean(result["top1_fp32"] for result in results),
        "top1_mean": statistics.mean(cell["top1"] for cell in cells),
        "loss_points_mean": statistics.mean(losses),
        "loss_points_standard_deviation": deviation,
        "loss_points_standard_error": deviation / len(cells) ** 0.5,
        "loss_points_range": [min(losses), max(losses)],
        "lost": sum(cell["lost"] for cell in cells),
        "gained": sum(cell["gained"] for cell in cells),
        "max_rel_largest": max(cell["max_rel"] for cell in cells),
        "cosine_smallest": min(cell["cosine"] for cell in cells),
        "same_class_mean": statistics.mean(cell["same_class"] for cell in cells),
    }


def record(results: Sequence[dict[str, Any]], data: Splits, conditions: dict[str, Any]) -> dict[str, Any]:
    """Return all results, and for each precision a summary of each network and of all."""
    kinds = {name: [result for result in results if result["network"] == name] for name in SIBLINGS}
    return {
        "what": "top-1 in percent on the digits, plain network in float32 against the engine in bf16 and int8",
        "environment": conditions,
        "validation_images": len(data.val),
        "points_per_image": 100 / len(data.val),
        "calibration_images": CALIBRATION_IMAGES,
        "epochs": Settings().epochs,
        "summary": {
            precision: {"all": summary(results, precision)}
            | {name: summary(chosen, precision) for name, chosen in kinds.items()}
            for precision in PRECISIONS
        },
        "networks": list(results),
    }


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description="Measure what bf16 and int8 cost the digits siblings in accuracy.")
    parser.add_argument("folder", type=Path, help="what `resnexus compare --data digits` wrote")
    parser.add_argument("output", type=Path, help="JSON record to write")
    parser.add_argument("--seconds", type=float, default=0.2, help="of timing per round, when planning (default 0.2)")
    parser.add_argument("--cache", type=Path, help="where engines are kept for another run; nowhere if left out")
    options = parser.parse_args()
    warnings.simplefilter("error", PlanWarning)  # the plain network must not stand for a quantised one
    conditions = asdict(environment())
    data = open_dataset("digits")
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for job, network in trained(options.folder, data):
            results.append(measure(job, network, options.cache or Path(temporary), options.seconds))
            losses = ", ".join(f"{name} loses {results[-1][name]['loss_points']:+.2f}" for name in PRECISIONS)
            print(f"{job.name:24} fp32 {results[-1]['top1_fp32']:.2f} %; {losses}", flush=True)
    content = record(results, data, conditions)
    write_json(content, options.output)
    for name in PRECISIONS:
        found = content["summary"][name]["all"]
        error, mean = found["loss_points_standard_error"], found["loss_points_mean"]
        print(f"{name}: mean loss {mean:+.3f} points, standard error {error:.3f}")


if __name__ == "__main__":
    main()
