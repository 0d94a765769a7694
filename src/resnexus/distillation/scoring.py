"""One shard of a pool to the teacher's answers, and the teacher that a process keeps from shard to shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnexus.artefacts.formats.registry import is_artefact
from resnexus.data.error_codes import ErrorCode
from resnexus.distillation.cache import CacheRecord, pictures_name, tensors_name
from resnexus.distillation.lines import write_lines
from resnexus.distillation.module_runner import ModuleRunner
from resnexus.distillation.pictures import Picture
from resnexus.distillation.views import PLAIN, Viewed, Viewing, view_seed
from resnexus.errors import ResnexusError, printable
from resnexus.files import replacing
from resnexus.prediction.bulk import one_thread
from resnexus.prediction.decoders import fetch_limits, open_decoder
from resnexus.prediction.decoding import Frame
from resnexus.prediction.opening import open_runner
from resnexus.prediction.runner import Runner
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress
from resnexus.teachers import MODULE, TeacherModule

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class ScoreTask:
    """One shard to score; everything that its files depend on.

    Attributes:
        out: folder of the cache.
        shard: its number.
        pictures: of the shard.
        record: of the cache.
        asking: how the teacher is asked.
    """

    out: str
    shard: int
    pictures: tuple[Picture, ...]
    record: CacheRecord
    asking: PredictionSettings

    def __str__(self) -> str:
        return printable(Path(self.out) / tensors_name(self.shard))


def score_shard(task: ScoreTask) -> int:
    """Score one shard into its two files, whole or not at all; return how many pictures it has.

    A process computes in one thread: how many there are would change the last digits, and many shards keep many
    processors busy.
    """
    out = Path(task.out)
    with one_thread():
        arrays, pictures = _scorer(task.record, task.asking).shard(task.pictures)
    from safetensors.numpy import save_file

    with replacing(out / tensors_name(task.shard)) as temporary:
        save_file(arrays, temporary)
    write_lines(pictures, out / pictures_name(task.shard))
    return len(pictures)


_kept: list[Scorer] = []


def _scorer(record: CacheRecord, asking: PredictionSettings) -> Scorer:
    """Return the teacher that this process keeps from shard to shard."""
    if not (_kept and (_kept[0].record, _kept[0].asking) == (record, asking)):
        release()
        _kept.append(Scorer(record, asking))
    return _kept[0]


def keep(record: CacheRecord, asking: PredictionSettings, teacher: TeacherModule) -> None:
    """Keep a module in this process for `score_shard`, which cannot open it by its name."""
    release()
    _kept.append(Scorer(record, asking, teacher))


def release() -> None:
    """Close what `score_shard` keeps in this process."""
    while _kept:
        _kept.pop().close()


def teacher_runner(
    teacher: str | TeacherModule, asking: PredictionSettings, progress: Progress | None = None
) -> Runner:
    """Open a teacher, to be asked for logits and features.

    Args:
        teacher: a published network or a file of weights, as `resnexus.prediction.opening.open_runner` takes them; or
            a torch module.
        asking: how it is asked.
        progress: told of a download, and of planning an engine.

    Raises:
        ResnexusError: no such network or file, an exported artefact, or a network whose classes are questions of their
            own.
    """
    if isinstance(teacher, TeacherModule):
        return ModuleRunner(teacher, asking)
    if teacher.startswith(MODULE):
        raise ResnexusError(
            f"the teacher is the torch {printable(teacher)}, which no name opens: give it in Python, with "
            "teacher=TeacherModule(...)"
        )
    if is_artefact(Path(teacher)):
        raise ResnexusError(
            f"{printable(teacher)} is an exported artefact, which gives no features: name the network or the weights "
            "that it was exported from"
        )
    runner = open_runner(teacher, replace(asking, embeddings=True), progress)
    if runner.card.multi_label:
        raise ResnexusError(f"{runner.card.name}: every class is a question of its own, and soft labels are of one")
    return runner


class Scorer:
    """A teacher with what decodes for it.

    Args:
        record: of the cache.
        asking: how the teacher is asked.
        teacher: a torch module; whom the record names if None.

    Raises:
        ResnexusError: as for `teacher_runner`, or the teacher is not the one that the record names.
    """

    def __init__(self, record: CacheRecord, asking: PredictionSettings, teacher: TeacherModule | None = None) -> None:
        self.record, self.asking = record, asking
        self._runner = teacher_runner(teacher or record.teacher, asking)
        if self._runner.card.weights != record.teacher_sha256:
            raise ResnexusError(f"{record.teacher} has other weights than those that scored the cache: give those")
        viewing = Viewing(preprocess=record.preprocess, augment=record.augment, fetching=fetch_limits(asking))
        self._together = max(1, record.batch_size // (1 + record.views))
        self._decoder = open_decoder(viewing, asking, window=2 * self._together)

    def shard(self, pictures: Sequence[Picture]) -> tuple[dict[str, Array], list[Picture]]:
        """Return the tensors of a shard, as `resnexus.distillation.cache` has them, and its pictures."""
        record = self.record
        seeds = [[view_seed(record.seed, picture.id, view) for view in range(record.views)] for picture in pictures]
        arrays = _empty(record, np.array(seeds, np.int64))
        wanted = zip(pictures, seeds, strict=True)
        frames = self._decoder.decoded((picture, Viewed(picture.source, (PLAIN, *drawn))) for picture, drawn in wanted)
        marked: list[Picture] = []
        while group := list(islice(frames, self._together)):
            rows = slice(len(marked), len(marked) + len(group))
            marked += self._answered(group, {name: array[rows] for name, array in arrays.items()})
        return arrays, marked

    def close(self) -> None:
        """End the workers, and free the teacher."""
        self._decoder.close()
        self._runner.close()

    def _answered(self, group: list[tuple[Picture, Frame]], arrays: dict[str, Array]) -> Iterator[Picture]:
        """Write the answers for a group into its rows; yield its pictures with what is wrong with them."""
        record = self.record
        side, channels = record.preprocess.size, record.preprocess.in_chans
        # A picture that cannot be read leaves black in its place, so that it changes nothing for its neighbours.
        stack = np.zeros((len(group), 1 + record.views, side, side, channels), np.uint8)
        for place, (_, frames) in enumerate(group):
            if not isinstance(frames, ErrorCode):
                stack[place] = frames
        logits, embeddings = self._asked(stack)
        features = embeddings[:, 0].half()
        finite = (logits.isfinite().all(2).all(1) & features.isfinite().all(1)).tolist()
        probabilities, classes, rest = _leading(logits, record.topk)
        for place, (picture, frames) in enumerate(group):
            if isinstance(frames, ErrorCode) or not finite[place]:
                error = frames if isinstance(frames, ErrorCode) else ErrorCode.NOT_FINITE
                yield replace(picture, error=error.value)
                continue
            arrays["features"][place] = features[place].numpy()
            for name, values in (("classes", classes), ("probabilities", probabilities), ("rest", rest)):
                arrays[f"plain_{name}"][place] = values[place, 0].numpy()
                arrays[name][place] = values[place, 1:].numpy()
            yield picture

    def _asked(self, stack: Array) -> tuple[Tensor, Tensor]:
        """(N, V, size, size, C) uint8 -> (N, V, classes) logits and (N, V, channels) features."""
        count, views = stack.shape[:2]
        images = self.record.preprocess.normalise(stack.reshape(count * views, *stack.shape[2:]))
        answers = [self._runner(part) for part in torch.split(images, self.record.batch_size)]
        logits = torch.cat([answer.logits for answer in answers])
        embeddings = torch.cat([answer.embeddings for answer in answers if answer.embeddings is not None])
        return logits.view(count, views, -1), embeddings.view(count, views, -1)


def _leading(logits: Tensor, topk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest probabilities, their classes, and the sum of the others; of equal ones the lower class first.

    Args:
        logits: (..., classes).
        topk: how many are kept.
    """
    ranked, classes = logits.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
    return ranked[..., :topk].float(), classes[..., :topk].int(), ranked[..., topk:].sum(-1).float()


def _empty(record: CacheRecord, seeds: Array) -> dict[str, Array]:
    """Return the tensors of a shard of which nothing is known yet but the seeds, (n, M)."""
    rows, views, topk = len(seeds), record.views, record.topk
    return {
        "features": np.zeros((rows, record.features), np.float16),
        "plain_classes": np.full((rows, topk), -1, np.int32),
        "plain_probabilities": np.zeros((rows, topk), np.float32),
        "plain_rest": np.zeros(rows, np.float32),
        "seeds": seeds,
        "classes": np.full((rows, views, topk), -1, np.int32),
        "probabilities": np.zeros((rows, views, topk), np.float32),
        "rest": np.zeros((rows, views), np.float32),
    }
