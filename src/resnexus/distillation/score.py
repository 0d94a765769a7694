"""The job of `resnexus distill score`: a teacher once over a pool, into a cache.

A shard's files are written under temporary names and renamed when they are whole, so that what lies there is done, and
to go on is to list what lies there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import torch

from resnexus.claim import claimed
from resnexus.data.augment import Augment
from resnexus.data.preprocess import Preprocess
from resnexus.devices import device_word, present_device
from resnexus.distillation.cache import ONE_VIEW, RECORD, Cache, CacheRecord, open_cache, pictures_name, tensors_name
from resnexus.distillation.pictures import Pool, Summary, in_shards, summary
from resnexus.distillation.scoring import ScoreTask, keep, release, score_shard, teacher_runner
from resnexus.distillation.views import check_redrawable
from resnexus.errors import ResnexusError, printable
from resnexus.files import check_writable
from resnexus.prediction.bulk import absolute, one_thread
from resnexus.prediction.executors import Executor, Local
from resnexus.prediction.inputs import passed_over
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress, Silent
from resnexus.records import read_json, write_json
from resnexus.teachers import TeacherModule
from resnexus.version import __version__

TOPK = 10
"""Classes of a view that are kept where nobody says."""
_BUSY = "another process scores into"
_VERSIONS = ("torch", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What is asked of a teacher, and how.

    Attributes:
        views: random views of each picture.
        topk: classes of each that are kept; 10 if None, or all where there are fewer.
        seed: of the random views.
        image_size: side of all views in pixels; the teacher's own if None. The plain view keeps its share of the
            picture.
        augment: how random views are drawn.
        allow_one_view: whether `views` may be 1; the record then says what that leads to.
        shard_pictures: pictures of a shard, which is the unit of work and of what is done again after a failure.
        asking: the teacher's weights, engine, precision, device, batch size and decoding workers.

    Raises:
        ResnexusError: a value outside what is stated above.
    """

    views: int = 4
    topk: int | None = None
    seed: int = 0
    image_size: int | None = None
    augment: Augment = field(default_factory=Augment)
    allow_one_view: bool = False
    shard_pictures: int = 1000
    asking: PredictionSettings = field(default_factory=PredictionSettings)

    def __post_init__(self) -> None:
        for name, least in (("views", 1), ("topk", 1), ("seed", 0), ("shard_pictures", 1)):
            value = getattr(self, name)
            if name == "topk" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ResnexusError(f"{name}={value!r}: expected a whole number of at least {least}")
        if self.views == 1 and not self.allow_one_view:
            raise ResnexusError(f"views=1: {ONE_VIEW}, or say that you want it with allow_one_view (--allow-one-view)")
        if self.views > 1 and self.allow_one_view:
            raise ResnexusError(f"allow_one_view has no effect on views={self.views}: leave it out")
        if self.image_size is not None and self.asking.engine != "plain":
            raise ResnexusError(
                f"image_size={self.image_size}: the accelerated engine is planned for the teacher's own size; use "
                "engine='plain'"
            )
        check_redrawable(self.augment)


def score(
    pool: Pool,
    teacher: str | TeacherModule,
    out: Path,
    settings: ScoreSettings | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Cache:
    """Ask a teacher about every picture of a pool; started again, it goes on with the shards that are missing.

    Args:
        pool: what to look at.
        teacher: a published network `NAME[:TAG]`, a file of weights, or a torch module, which is asked in this process
            alone.
        out: folder of the cache.
        settings: what is asked, and how.
        executor: who does the shards; this process if None.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: the teacher, the pool or a setting cannot be used, or the folder holds another cache.
    """
    settings, progress = settings or ScoreSettings(), progress or Silent()
    asking = settings.asking
    present_device(asking.device)  # before the pool is listed
    # Other processes may be in other folders.
    module = teacher if isinstance(teacher, TeacherModule) else None
    if module is not None and executor is not None:
        raise ResnexusError(f"executor: {module.name} is asked in this process: leave it out")
    teacher = teacher if isinstance(teacher, TeacherModule) else absolute(teacher)
    asking = asking if asking.weights is None else replace(asking, weights=absolute(asking.weights))
    check_writable(out)
    with claimed(out, busy=_BUSY):
        found = summary(pool)
        if pool.ignored:
            progress.say(passed_over(pool.ignored))
        record = _described(teacher, replace(settings, asking=asking), found, progress)
        for note in record.notes:
            progress.say(note)
        _claim(out, record)
        missing = [shard for shard in range(record.shards) if not _is_done(out, shard)]
        if len(missing) < record.shards:
            progress.say(f"{record.shards - len(missing):,} of {record.shards:,} shards are done already")
        tasks = _tasks(pool, record, asking, out, set(missing))
        with progress.stage("scoring", sum(len(record.rows(shard)) for shard in missing)) as advance:
            try:
                if module is not None:
                    keep(record, asking, module)
                for count in (executor or Local(1))(score_shard, tasks):
                    advance(count)
            finally:
                release()
    return open_cache(out)


def errors(cache: Cache) -> dict[str, int]:
    """Count the pictures that could not be read: error code -> how many."""
    return dict(sorted(Counter(picture.error for picture in cache.pictures if picture.error is not None).items()))


def _described(teacher: str | TeacherModule, settings: ScoreSettings, pool: Summary, progress: Progress) -> CacheRecord:
    """Open the teacher once, so that what is wrong is told at once, and say what the cache will be of."""
    asking = settings.asking
    runner = teacher_runner(teacher, asking, progress)
    card = runner.card
    preprocess = _sized(card.preprocess, settings.image_size)
    with one_thread():
        probe = runner(torch.zeros(1, preprocess.in_chans, preprocess.size, preprocess.size))
    runner.close()
    if probe.embeddings is None:
        raise ResnexusError(f"{card.name} gives no features: name another teacher")
    notes = [f"{card.name}: {note}" for note in card.notes]
    return CacheRecord(
        teacher=teacher.name if isinstance(teacher, TeacherModule) else teacher,
        teacher_architecture=asking.architecture,
        teacher_weights=asking.weights,
        teacher_sha256=card.weights,
        num_classes=card.num_classes,
        classes=card.classes,
        features=probe.embeddings.shape[1],
        preprocess=preprocess,
        augment=settings.augment,
        views=settings.views,
        topk=min(TOPK, card.num_classes) if settings.topk is None else settings.topk,
        seed=settings.seed,
        one_view=settings.views == 1,
        pictures=pool.pictures,
        pool=pool.digest,
        shard_pictures=settings.shard_pictures,
        engine=asking.engine,
        precision=asking.precision,
        device=asking.device,
        batch_size=card.batch_size,
        notes=tuple(notes + ([ONE_VIEW] if settings.views == 1 else [])),
        versions={"resnexus": __version__} | {name: version(name) for name in _VERSIONS},
        private_addresses=asking.private_addresses,
    )


def _sized(preprocess: Preprocess, size: int | None) -> Preprocess:
    if size is None or size == preprocess.size:
        return preprocess
    return replace(preprocess, size=size, resize_short=round(preprocess.resize_short * size / preprocess.size))


def _claim(out: Path, record: CacheRecord) -> None:
    """See that a folder is empty or holds what an earlier start of the same command wrote."""
    if (out / RECORD).is_file():
        before = read_json(CacheRecord, out / RECORD)
        before = replace(before, device=device_word(before.device))  # a record may have another name of it
        if before != record:
            other = [name for name in vars(record) if getattr(before, name) != getattr(record, name)]
            raise ResnexusError(
                f"{printable(out)} holds a cache of other {', '.join(other)}: give another folder, or remove it"
            )
    elif any(not path.name.startswith(".") for path in out.iterdir()):
        raise ResnexusError(f"{printable(out)} is not empty: give another folder for the cache")
    else:
        write_json(record, out / RECORD)


def _is_done(out: Path, shard: int) -> bool:
    return (out / tensors_name(shard)).is_file() and (out / pictures_name(shard)).is_file()


def _tasks(
    pool: Pool, record: CacheRecord, asking: PredictionSettings, out: Path, missing: set[int]
) -> Iterator[ScoreTask]:
    count = 0
    for shard, pictures in in_shards(pool, record.shard_pictures):
        count += len(pictures)
        if shard >= record.shards or len(pictures) != len(record.rows(shard)):
            break
        if shard in missing:
            yield ScoreTask(out=str(out.absolute()), shard=shard, pictures=pictures, record=record, asking=asking)
    if count != record.pictures:
        raise ResnexusError(f"the pool changed while it was scored: it had {record.pictures:,} pictures; start again")
