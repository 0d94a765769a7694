"""The job of `resnexus predict`: pictures to a file of records, and a record of the run beside it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnexus.benchmark.environment import Environment, environment
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.heatmaps import check_heatmaps, painting
from resnexus.prediction.inputs import Input, Listing, passed_over
from resnexus.prediction.predictor import Predictor
from resnexus.prediction.runner import Card
from resnexus.prediction.settings import PredictionSettings
from resnexus.prediction.writing import STANDARD_OUTPUT, check_out, writing
from resnexus.progress import Progress, Silent
from resnexus.records import write_json
from resnexus.report.printing import counted


class Countable(Protocol):
    """Inputs that can be listed more than once.

    Attributes:
        ignored: files beside them that are no images, after a listing.
    """

    ignored: int

    def __iter__(self) -> Iterator[Input]: ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was asked of what, and how it went; lies beside the records as `NAME.run.json`.

    Attributes:
        model: what answered, its weights by their hash, or `"random"`.
        settings: how it was asked.
        images: inputs, and so records.
        errors: error code -> inputs without an answer.
        seconds: wall-clock time, without opening the network.
        command: as it was typed.
        environment: machine and versions.
    """

    model: Card
    settings: PredictionSettings
    images: int
    errors: dict[str, int]
    seconds: float
    command: str
    environment: Environment

    @property
    def failed(self) -> int:
        """Inputs without an answer."""
        return sum(self.errors.values())

    @property
    def sentence(self) -> str:
        """What happened, in one line."""
        rate = f", {self.images / self.seconds:.1f} images/s" if self.seconds else ""
        codes = ", ".join(f"{count} {code}" for code, count in sorted(self.errors.items()))
        lost = f"; {self.failed} without an answer ({codes})" if self.errors else ""
        return f"{counted(self.images, 'record')} in {self.seconds:.1f} s{rate}{lost}"


def predict_to_file(
    model: str | os.PathLike[str],
    inputs: Countable,
    out: str,
    settings: PredictionSettings,
    *,
    heatmaps: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Write a record for every input, in order; the file is there when all are, whole.

    Args:
        model: as for `Predictor`.
        inputs: what to look at.
        out: a file of records, by its suffix `.jsonl`, `.csv` or `.parquet`; `-` for JSON lines on standard output.
        settings: how the network is asked.
        heatmaps: folder for pictures of the heat maps, for which the settings ask; none are drawn if None.
        command: as it was typed, for the record.
        progress: where to report; nowhere if None.
        clock: seconds.

    Raises:
        ResnexusError: the network or an option cannot be used, an input cannot be listed, heat maps would lie among the
            inputs, or a file cannot be written.
    """
    progress = progress or Silent()
    check_out(out, settings)
    if heatmaps is not None:
        _check_apart(inputs, heatmaps)
        check_heatmaps(heatmaps)
    total = sum(1 for _ in inputs)
    if inputs.ignored:
        progress.say(passed_over(inputs.ignored))
    if not total:
        raise ResnexusError("no input: the list is empty")
    errors: Counter[str] = Counter()
    with Predictor(model, settings, progress=progress) as predictor, ExitStack() as stack:
        for note in predictor.card.notes:
            progress.say(f"{predictor.card.name}: {note}")
        write = stack.enter_context(writing(out, settings))
        paint = None if heatmaps is None else stack.enter_context(painting(heatmaps, predictor.card))
        advance = stack.enter_context(progress.stage("predicting", total))
        start, images = clock(), 0
        for seen in predictor.seen(inputs):
            write(seen.prediction)
            if paint is not None:
                paint(seen)
            if seen.prediction.error is not None:
                errors[seen.prediction.error.value] += 1
            images += 1
            advance()
        run = Run(
            model=predictor.card,
            settings=settings,
            images=images,
            errors=dict(sorted(errors.items())),
            seconds=clock() - start,
            command=printable(command),
            environment=environment(),
        )
    if out != STANDARD_OUTPUT:
        write_json(run, run_path(Path(out)))
    return run


def _check_apart(inputs: Countable, heatmaps: Path) -> None:
    """See that heat maps do not come to lie in a folder of inputs, which is listed while they are drawn."""
    for item in inputs.items if isinstance(inputs, Listing) else ():
        if not isinstance(item, (str, os.PathLike)) or not os.path.isdir(item):
            continue
        folder, place = Path(os.fsdecode(item)).resolve(), heatmaps.resolve()
        if place.is_relative_to(folder) and not any(part.startswith(".") for part in place.relative_to(folder).parts):
            raise ResnexusError(
                f"{printable(heatmaps)} lies in {printable(item)}, whose pictures are the inputs: heat maps would be "
                "among them; choose a folder beside it"
            )


def run_path(out: Path) -> Path:
    """Return where the record of a run lies: beside its file of records."""
    return out.with_name(f"{out.stem}.run.json")
