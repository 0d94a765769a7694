"""A trained network at other sizes, and its classifier trained at one of them.

A network sees objects larger in training, where crops are enlarged, than in evaluation: it is often better at a larger
size than its own, and better still when its last layer has learned that size. Touvron et al. 2019, arXiv:1906.06423.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from resnexus.data.preprocess import Preprocess
from resnexus.distillation.materials import device_of, open_labelled
from resnexus.distillation.stages import architecture_of
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.evaluate import evaluate
from resnexus.evaluation.variations import at_size
from resnexus.models import create_model
from resnexus.progress import Silent
from resnexus.records import write_json
from resnexus.teachers import Teaching
from resnexus.trainer import Running, train_on
from resnexus.training.preparation import preparation
from resnexus.training.recipe import Recipe
from resnexus.weights.checkpoint_file import read_record, sha256

RECORD = "fixres.json"
_LARGER = (1, 8 / 7, 9 / 7, 10 / 7)
"""Of the network's own size: 224, 256, 288, 320."""


@dataclass(frozen=True, kw_only=True)
class AtSize:
    """Accuracy at one size.

    Attributes:
        size: pixels on a side.
        top1: a fraction.
        top5: likewise.
        images: that were evaluated.
    """

    size: int
    top1: float
    top5: float
    images: int


@dataclass(frozen=True, kw_only=True)
class FixRes:
    """What other sizes are worth to a network, as `fixres.json` says.

    Attributes:
        weights: the file.
        weights_sha256: of it.
        own_size: pixels on a side that the network was evaluated at in training.
        sizes: accuracy at every size that was tried, with the weights as they are.
        size: at which the classifier was trained.
        chosen: whether `size` was the best of `sizes` on the very images that it is evaluated on, which makes its
            accuracy look better than it is.
        tuned: accuracy with the trained classifier.
    """

    weights: str
    weights_sha256: str
    own_size: int
    sizes: tuple[AtSize, ...]
    size: int
    chosen: bool
    tuned: AtSize


def fix_resolution(
    weights: str | os.PathLike[str],
    labelled: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    recipe: Recipe,
    sizes: Sequence[int] = (),
    size: int | None = None,
    teacher: Teaching | None = None,
    label: str = "training the classifier",
    **running: Unpack[Running],
) -> FixRes:
    """Evaluate trained weights at several sizes, and train the classifier alone at one of them.

    Args:
        weights: a file of weights with a record of how its images are prepared.
        labelled: what `open_dataset` takes, in files.
        out: folder of the training; gets `fixres.json`, too.
        recipe: of the training; its sizes are replaced.
        sizes: pixels on a side to try; the network's own and 8/7, 9/7 and 10/7 of it if there are none.
        size: to train the classifier at; the best of `sizes` on the images to evaluate on if None, of equal ones the
            smallest.
        teacher: for a recipe that learns from one.
        label: what the training is called in print.
        running: where and how it runs.

    Raises:
        ResnexusError: a recipe that trains more than the classifier, weights that do not say how their images are
            prepared, a size that is too small, or as `resnexus.train` does.
        Stopped: SIGTERM came, and the training was kept.
    """
    device_of(running)
    path, progress, out = Path(weights), running.get("progress") or Silent(), Path(out)
    if recipe.optim.freeze_stages <= len(architecture_of(path).depths):
        raise ResnexusError(
            f"freeze_stages={recipe.optim.freeze_stages} leaves more to train than the classifier: set it to 5"
        )
    own = _prepared(path)
    tried = tuple(dict.fromkeys(sizes or [round(own.size * factor) for factor in _LARGER]))
    found = tuple(evaluated(path, labelled, running, at_size(own, side)) for side in tried)
    wanted = max(found, key=lambda one: (one.top1, -one.size)).size if size is None else size
    there = at_size(own, wanted)
    recipe = recipe.changed({"image_size": wanted, "eval_size": wanted, "resize_short": there.resize_short})
    splits = open_labelled(labelled, there, preparation(recipe)[1], recipe.seed, progress)
    trained = train_on(
        architecture_of(path),
        splits.train,
        splits.val,
        recipe,
        preprocess=there,
        out=out,
        weights=path,
        teacher=teacher,
        label=label,
        **running,
    )
    last = trained.outcome.rows[-1]
    result = FixRes(
        weights=printable(path),
        weights_sha256=sha256(path),
        own_size=own.size,
        sizes=found,
        size=wanted,
        chosen=size is None,
        tuned=AtSize(size=wanted, top1=last["top1"], top5=last["top5"], images=last["images"]),
    )
    write_json(result, out / RECORD)
    return result


def evaluated(
    weights: Path, labelled: str | os.PathLike[str], running: Running, preprocess: Preprocess | None = None
) -> AtSize:
    """Evaluate a file of weights on labelled pictures.

    Args:
        weights: the file.
        labelled: what `open_dataset` takes, in files.
        running: where it runs.
        preprocess: how the pictures are prepared; as the record of the weights says if None.

    Raises:
        ResnexusError: the weights or the pictures cannot be used.
    """
    preprocess = preprocess or _prepared(weights)
    here = device_of(running)
    splits = open_labelled(labelled, preprocess, None, 0, Silent())
    network = create_model(architecture_of(weights), pretrained=weights).eval().to(here)
    found = evaluate(
        network,
        splits.val,
        device=here,
        progress=running.get("progress"),
        label=f"evaluating at {preprocess.size} pixels",
    )
    return AtSize(size=preprocess.size, top1=found.top1, top5=found.top5, images=found.images)


def _prepared(weights: Path) -> Preprocess:
    preprocess = read_record(weights).preprocess
    if preprocess is None:
        raise ResnexusError(f"{printable(weights)} does not say how its images are prepared: train it with `resnexus`")
    return preprocess
