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
from resnexus.distillation.lines import read_lines
from resnexus.distillation.materials import device_of
from resnexus.distillation.mining import Mining, Selected, mine
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.distillation.steps import Left, Steps
from resnexus.errors import ResnexusError
from resnexus.prediction.job import run_path
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Silent
from resnexus.records import read_json
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
        duplicates: list of near-duplicates; None if they were not looked for.
        mining: what mining asked for and found.
        counts: what became of all.
    """

    cache: Path
    selection: Path
    duplicates: Path | None
    mining: Mining
    counts: PoolCounts


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
        return Left(files=(folder / SELECTION, run_path(folder / SELECTION)))

    depends = {"per_class": config.mine.per_class, "min_confidence": config.mine.min_confidence, "counted": True}
    steps.step("mine", depends, mined, *after)  # with `counted`: it leaves the record of what it counted, too
    return _counted(config, steps, cache)


def _counted(config: Config, steps: Steps, cache: Cache) -> MinedPool:
    """Read what the steps left; of the pictures that were mined, none is kept in memory."""
    selection, record = steps.file("mine", SELECTION), cache.record
    mining = read_json(Mining, steps.file("mine", run_path(Path(SELECTION)).name))
    found = Counter(line.class_id for line in read_lines(Selected, selection))
    names = Counter(map(record.class_name, range(record.num_classes)))
    counts = PoolCounts(
        pictures=mining.pictures,
        unreadable=mining.unreadable,
        duplicates=mining.copies if config.dedupe else None,
        unsure=mining.unsure,
        surplus=mining.surplus,
        mined=mining.selected,
        min_confidence=mining.min_confidence,
        most=mining.per_class,
        per_class={
            name if names[name] == 1 else f"{name} ({number})": found[number]
            for number in range(record.num_classes)
            for name in (record.class_name(number),)
        },
    )
    duplicates = steps.file("dedupe", PAIRS) if config.dedupe else None
    return MinedPool(cache=cache.folder, selection=selection, duplicates=duplicates, mining=mining, counts=counts)


def _compared_with(labelled: str) -> list[str]:
    """Return where the labelled pictures lie: their folder, which names them all, or every file."""
    splits = open_dataset(labelled)
    parts = [part for part in (splits.train, splits.val) if isinstance(part, ImageFiles)]
    if len(parts) < 2:
        raise ResnexusError(
            "near-duplicates are looked for among files, and the labelled pictures are none: set dedupe to false"
        )
    return [labelled] if os.path.isdir(labelled) else [path for part in parts for path in part.paths]
