"""Measure how fast pictures become answers: `resnexus predict` against torchvision's and timm's own inference.

    python -m studies.predict_throughput results/predict_cpu_DATE.json

All answer for the same JPEG files with ResNeXt50_32x4d at 224 pixels in float32, in batches of 32, the files read by as
many processes as there are processors, and name the five most probable classes. torchvision's way is that of its
documentation: ImageFolder, the transforms of its weights, a DataLoader. timm's is the loop of its `inference.py`, with
the preparation that it has for this network. Ours is what `resnexus predict` does, its file of records too: once with
the accelerated engine, once with PyTorch as it is. Networks and processes stay open from turn to turn. They take turns,
so that a change of the machine's speed meets them all, and the ratio is formed within a turn. Weights are random: their
values do not change the time. The first turn is not counted; in it the engine is planned, which takes minutes if this
machine has not done so before. With `--quick` there are few pictures and no engine: it shows that all is installed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from resnexus.benchmark.environment import environment
from resnexus.machine import usable_cores
from resnexus.models import RANDOM
from resnexus.packages import required
from resnexus.prediction.inputs import Listing
from resnexus.prediction.predictor import Predictor
from resnexus.prediction.settings import PredictionSettings
from resnexus.prediction.writing import writing
from resnexus.progress import Shown
from resnexus.records import write_json
from studies.loading import HEIGHT, QUALITY, WIDTH, photographs, versions

NETWORK, PEERS_NAME = "ResNeXt50_32x4d", "resnext50_32x4d"
ACCELERATED, PLAIN = "resnexus predict --engine accelerated", "resnexus predict"
TORCHVISION, TIMM = "torchvision", "timm"
PEERS = (TORCHVISION, TIMM)
BATCH_SIZE, TOP = 32, 5
QUICK_COUNT, QUICK_ROUNDS = 8, 1

Way = Callable[[], tuple[int, float]]
"""Answers for all pictures once -> how many were answered, and the seconds that it took."""


def ours(opened: Callable[[], Predictor], folder: Path, out: Path) -> Way:
    """Return what `resnexus predict` does on a folder: `opened` gives the network, the same every time."""

    def answer() -> tuple[int, float]:
        predictor = opened()
        count, start = 0, time.perf_counter()
        with writing(str(out), predictor.settings) as write:
            for seen in predictor.seen(Listing([folder])):
                write(seen.prediction)
                count += seen.prediction.error is None
        return count, time.perf_counter() - start

    return answer


def torchvisions(network: nn.Module, folder: Path, workers: int) -> Way:
    """Return inference as torchvision's documentation has it, on a folder of class folders."""
    torchvision = required("torchvision")
    transform = torchvision.models.ResNeXt50_32X4D_Weights.IMAGENET1K_V1.transforms()
    data = torchvision.datasets.ImageFolder(folder, transform)
    loader: DataLoader[Any] = DataLoader(
        data, batch_size=BATCH_SIZE, num_workers=workers, persistent_workers=workers > 0
    )
    return _timed(network, loader)


def timms(network: nn.Module, folder: Path, workers: int) -> Way:
    """Return inference as timm's `inference.py` has it, on a folder of class folders."""
    data = required("timm.data")
    loader = data.create_loader(
        data.create_dataset("", root=str(folder)),
        batch_size=BATCH_SIZE,
        use_prefetcher=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device("cpu"),
        **data.resolve_data_config({}, model=network),
    )
    return _timed(network, loader)


def _timed(network: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Way:
    network.eval()

    def answer() -> tuple[int, float]:
        count, start = 0, time.perf_counter()
        with torch.inference_mode():
            for images, _ in loader:
                scores, classes = network(images).softmax(-1).topk(TOP)
                count += len(_named(scores, classes))
        return count, time.perf_counter() - start

    return answer


def _named(scores: Tensor, classes: Tensor) -> list[tuple[list[float], list[int]]]:
    """Return the answers of a batch as numbers of Python's, as whoever writes them to a file needs them."""
    return list(zip(scores.tolist(), classes.tolist(), strict=True))


def turns(ways: Mapping[str, Way], images: int, rounds: int) -> dict[str, list[float]]:
    """Return images per second of every turn of each way, after one that is not counted.

    Raises:
        RuntimeError: a way did not answer for all images.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            count, seconds = way()
            if count != images:
                raise RuntimeError(f"{name} answered for {count} of {images} pictures")
            print(f"turn {turn} of {rounds}, {name}: {images / seconds:.1f} images/s", file=sys.stderr, flush=True)
            if turn:
                rates[name].append(images / seconds)
    return rates


def summary(rates: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return the median and the range of every way, and of its ratio to each peer within a turn."""
    found = {}
    for name, values in rates.items():
        ratios = {
            peer: [value / other for value, other in zip(values, rates[peer], strict=True)]
            for peer in PEERS
            if peer in rates and peer != name
        }
        found[name] = {
            "images_per_s": median(values),
            "images_per_s_range": [min(values), max(values)],
            "over": {peer: {"ratio": median(own), "ratio_range": [min(own), max(own)]} for peer, own in ratios.items()},
        }
    return found


def table(record: Mapping[str, Any]) -> str:
    """Return a record as a table in Markdown."""
    machine = record["environment"]
    lines = [
        f"{record['images']} JPEG files of {record['width']} x {record['height']}, {NETWORK} in float32, batches of "
        f"{record['batch_size']}; {machine['cpu']}, {machine['cores']} cores, torch {machine['packages']['torch']}; "
        f"medians of {record['rounds']} turns, the range in brackets.",
        "",
        "| | images/s | times torchvision | times timm |",
        "| :-- | --: | --: | --: |",
    ]
    for name, row in record["ways"].items():
        low, high = row["images_per_s_range"]
        cells = [f"{row['images_per_s']:.1f} ({low:.1f} to {high:.1f})", *(_ratio(row, peer) for peer in PEERS)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def section(record: Mapping[str, Any]) -> str:
    """Return what docs/predict.md says of a record."""
    said = (
        "From files to answers, beside inference as torchvision and timm have it in their documentation; networks and"
        "\nprocesses that are open already. `studies/predict_throughput.py` measures it.\n"
    )
    return f"\n## How fast\n\n{said}\n{table(record)}\n"


def _ratio(row: Mapping[str, Any], peer: str) -> str:
    if peer not in row["over"]:
        return ""
    found = row["over"][peer]
    low, high = found["ratio_range"]
    return f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="JSON record to write")
    parser.add_argument("--count", type=int, default=256, help="pictures to cut from the photographs")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="processes that read files")
    parser.add_argument("--quick", action="store_true", help="few pictures, one turn, no engine")
    arguments = parser.parse_args()
    count = QUICK_COUNT if arguments.quick else arguments.count
    rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds
    with TemporaryDirectory() as place, ExitStack() as stack:
        folder, out = Path(place, "pictures"), Path(place, "records.jsonl")
        (folder / "all").mkdir(parents=True)
        paths = photographs(folder / "all", count)
        size = sum(Path(path).stat().st_size for path in paths)
        ways = {
            # Their workers are forked from this process in the first turn, before ours has threads.
            TORCHVISION: torchvisions(
                required("torchvision.models").resnext50_32x4d(weights=None), folder, arguments.workers
            ),
            TIMM: timms(required("timm").create_model(PEERS_NAME, pretrained=False), folder, arguments.workers),
        }

        @cache
        def opened(engine: str) -> Predictor:
            settings = PredictionSettings(
                weights=RANDOM, engine=engine, batch_size=BATCH_SIZE, topk=TOP, workers=arguments.workers
            )
            return stack.enter_context(Predictor(NETWORK, settings, progress=Shown()))

        ways[PLAIN] = ours(partial(opened, "plain"), folder, out)
        if not arguments.quick:
            ways[ACCELERATED] = ours(partial(opened, "accelerated"), folder, out)
        rates = turns(ways, count, rounds)
    record = {
        "what": "pictures answered per second: JPEG files to the five most probable classes",
        "environment": vars(environment()),
        "packages": versions(),
        "network": NETWORK,
        "images": count,
        "width": WIDTH,
        "height": HEIGHT,
        "quality": QUALITY,
        "bytes_per_image": size / count,
        "batch_size": BATCH_SIZE,
        "workers": arguments.workers,
        "rounds": rounds,
        "quick": arguments.quick,
        "ways": summary(rates),
        "turns": rates,
    }
    write_json(record, arguments.record)
    print(table(record))


if __name__ == "__main__":
    main()
