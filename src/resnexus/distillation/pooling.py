"""What a run makes of its pool: scored, near-duplicates left out, mined."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import ImageFiles
from resnexus.distillation.cache import RECORD, Cache, open_cache
from resnexus.distillation.configs import Config
from resnexus.distillation.dedupe import dedupe
from resnexus.distillation.duplicates import Pair
from resnexus.distillation.lines import read_lines
from resnexus.distillation.materials import device_of
from resnexus.distillation.mining import Selected, mine
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.distillation.steps import Left, Steps
from resnexus.errors import ResnexusError
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Silent
from resnexus.report.distillation_record import PoolCounts
from resnexus.trainer import Running
from resnexus.training.preparation import preparation

SELECTION = "selection.jsonl"
PAIRS = "pairs.jsonl"


@dataclass(frozen=True, kw_only=True)
class MinedPool:
    """What is left of a pool.

    Attributes:
        cache: folder of the teacher's answers.
        selection: file of the mined pictures.
        counts: what became of all.
        selected: the mined pictures, in their order.
        copies: the near-duplicates that were left out.
    """

    cache: Path
    selection: Path
    counts: PoolCounts
    selected: tuple[Selected, ...]
    copies: tuple[Pair, ...]


def mined_pool(
    config: Config, steps: Steps, pool: tuple[str, ...], teacher: str, labelled: str, running: Running
) -> MinedPool:
    """Score a pool, leave out near-duplicates of labelled pictures, and mine the rest; each step once.

    Raises:
        ResnexusError: as the steps do, or nothing is mined.
    """
    recipe, progress = config.stage1_recipe(0), running.get("progress") or Silent()
    augment = preparation(recipe)[1]
    asking = PredictionSettings(device=device_of(running), workers=recipe.step.workers)

    def scored(folder: Path) -> Left:
        settings = ScoreSettings(
            views=config.score.views,
            image_size=augment.size,
            augment=replace(augment, size=None, erasing=0.0),
            allow_one_view=config.score.views == 1,
            asking=asking,
        )
        cache = score(Listed(pool), teacher, folder, settings, progress=progress)
        return Left(files=(folder / RECORD,), figures={"pool": cache.record.pool})

    depends = {"views": config.score.views, "augment": repr(augment)}
    steps.step("score", depends, scored, "teacher")
    cache = open_cache(steps.file("score", RECORD).parent)
    after = ["score"]
    if config.dedupe:
        against = _compared_with(labelled)

        def compared(folder: Path) -> Left:
            dedupe(cache, against, folder / PAIRS, teacher=teacher, asking=asking, progress=progress)
            return Left(files=(folder / PAIRS,))

        steps.step("dedupe", {}, compared, "score", "data")
        after.append("dedupe")

    def mined(folder: Path) -> Left:
        duplicates = steps.file("dedupe", PAIRS) if config.dedupe else None
        mine(
            cache,
            folder / SELECTION,
            duplicates=duplicates,
            per_class=config.mine.per_class,
            min_confidence=config.mine.min_confidence,
        )
        return Left(files=(folder / SELECTION,))

    depends = {"per_class": config.mine.per_class, "min_confidence": config.mine.min_confidence}
    steps.step("mine", depends, mined, *after)
    return _counted(config, steps, cache)


def _counted(config: Config, steps: Steps, cache: Cache) -> MinedPool:
    """Read what the steps left."""
    selection = steps.file("mine", SELECTION)
    selected = tuple(read_lines(Selected, selection))
    if not selected:
        raise ResnexusError("nothing was mined: lower min_confidence, or give a larger pool")
    pairs = tuple(read_lines(Pair, steps.file("dedupe", PAIRS))) if config.dedupe else ()
    copies = tuple(pair for pair in pairs if pair.removed)
    found, record = Counter(line.class_id for line in selected), cache.record
    names = Counter(map(record.class_name, range(record.num_classes)))
    counts = PoolCounts(
        pictures=len(cache),
        unreadable=int((~cache.readable()).sum()),
        duplicates=len(copies) if config.dedupe else None,
        mined=len({line.uri for line in selected}),
        per_class={
            name if names[name] == 1 else f"{name} ({number})": found[number]
            for number in range(record.num_classes)
            for name in (record.class_name(number),)
        },
    )
    return MinedPool(cache=cache.folder, selection=selection, counts=counts, selected=selected, copies=copies)


def _compared_with(labelled: str) -> list[str]:
    """Return where the labelled pictures lie: their folder, which names them all, or every file."""
    splits = open_dataset(labelled)
    parts = [part for part in (splits.train, splits.val) if isinstance(part, ImageFiles)]
    if len(parts) < 2:
        raise ResnexusError(
            "near-duplicates are looked for among files, and the labelled pictures are none: set dedupe to false"
        )
    return [labelled] if os.path.isdir(labelled) else [path for part in parts for path in part.paths]
