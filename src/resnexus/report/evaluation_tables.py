"""The tables of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from resnexus.evaluation.corruptions.errors import is_benchmark
from resnexus.evaluation.intervals import Share
from resnexus.report.evaluation_record import Corrupted, EvaluatedClass, EvaluationRecord, Opponent, Variation
from resnexus.report.printing import counted, has_top5, number, percent, signed
from resnexus.report.table import Column, Entry, Table, missing


def accuracy_table(record: EvaluationRecord) -> Table:
    """Accuracy with its intervals, beside what was published."""
    rows = [
        ("top-1", record.top1, record.network.published_top1),
        *([("top-5", record.top5, record.network.published_top5)] if has_top5(record.images.competing) else []),
        *([("top-1, ReaL labels", record.real, None)] if record.real else []),
    ]
    published = record.network.published_top1 is not None
    extra = (Column(title="Published", unit="%"), Column(title="Difference", unit="points")) if published else ()
    return Table(
        name="accuracy",
        caption="Accuracy with 95 % intervals (Wilson)",
        columns=(
            Column(title="Measure", text=True),
            Column(title="Accuracy", unit="%"),
            Column(title="95 % interval", unit="%"),
            Column(title="Right"),
            Column(title="Images"),
            *extra,
        ),
        rows=tuple(
            (*_share(name, found), *(_published(found, claim) if published else ())) for name, found, claim in rows
        ),
        data=tuple(
            {"measure": name, **_data(found), **({"published": claim} if published else {})}
            for name, found, claim in rows
        ),
    )


def class_table(classes: Sequence[EvaluatedClass], name: str, caption: str) -> Table:
    """Accuracy of classes, and what each is most often mistaken for."""
    return Table(
        name=name,
        caption=caption,
        columns=(
            Column(title="Class", text=True),
            Column(title="Top-1", unit="%"),
            Column(title="95 % interval", unit="%"),
            Column(title="Right"),
            Column(title="Images"),
            Column(title="Most often taken for", text=True),
            Column(title="Times"),
        ),
        rows=tuple(
            (
                *_share(found.name, found.top1, decimals=1),
                Entry(text=found.taken_for) if found.taken_for is not None else missing(),
                Entry(text=number(found.times, 0)) if found.times else missing(),
            )
            for found in classes
        ),
        data=tuple(
            {"class": found.name, **_data(found.top1), "taken_for": found.taken_for, "times": found.times}
            for found in classes
        ),
    )


def confusion_table(record: EvaluationRecord) -> Table:
    """The pairs of classes that are mistaken most often."""
    return Table(
        name="confusions",
        caption="Most frequent confusions",
        columns=(
            Column(title="Class", text=True),
            Column(title="Taken for", text=True),
            Column(title="Images"),
            Column(title="Of its class", unit="%"),
        ),
        rows=tuple(
            (
                Entry(text=found.label),
                Entry(text=found.predicted),
                Entry(text=number(found.images, 0)),
                Entry(text=percent(found.share, 1)),
            )
            for found in record.confusions
        ),
        data=tuple(
            {"class": found.label, "taken_for": found.predicted, "images": found.images, "share": found.share}
            for found in record.confusions
        ),
    )


def variation_table(record: EvaluationRecord, kind: str, caption: str) -> Table | None:
    """The evaluation beside other sizes or preparations; None if there are none of that kind."""
    found = [one for one in record.variations if one.kind == kind]
    if not found:
        return None
    size, top5 = record.preprocess, has_top5(record.images.competing)
    return Table(
        name=kind,
        caption=caption,
        columns=(
            Column(title="Preparation", text=True),
            Column(title="Short side, crop", unit="pixels"),
            Column(title="Top-1", unit="%"),
            Column(title="95 % interval", unit="%"),
            *([Column(title="Top-5", unit="%")] if top5 else []),
            Column(title="Difference", unit="points"),
            Column(title="Won, lost", unit="images"),
            Column(title="p, McNemar"),
        ),
        rows=(
            (
                Entry(text="as evaluated"),
                Entry(text=f"{size.resize_short}, {size.size}"),
                *_share("", record.top1)[1:3],
                *([Entry(text=percent(record.top5.value))] if top5 else []),
                *(missing() for _ in range(3)),
            ),
            *(_variation(one, top5=top5) for one in found),
        ),
        remarks=(
            "Won are images that only this preparation gets right, lost those that only the evaluation's own does; p "
            "is the probability of counts at least as uneven if both are equally good.",
        ),
        data=tuple(
            {
                "preparation": one.name,
                "resize_short": one.preprocess.resize_short,
                "size": one.preprocess.size,
                **_data(one.top1),
                "top5": one.top5.value,
                "won": one.paired.first_only if one.paired else None,
                "lost": one.paired.second_only if one.paired else None,
                "p_value": one.paired.p_value if one.paired else None,
            }
            for one in found
        ),
    )


def corruption_table(record: EvaluationRecord) -> Table | None:
    """Top-1 under every corruption and severity, the mean of each, and the errors against another network's."""
    if not record.corruptions:
        return None
    names = list(dict.fromkeys(found.name for found in record.corruptions))
    severities = sorted({found.severity for found in record.corruptions})
    by_place = {(found.name, found.severity): found for found in record.corruptions}
    families = {found.name: found.family for found in record.corruptions}
    relative = record.against.corruption_errors if record.against else {}

    def row(name: str) -> tuple[Entry, ...]:
        found = [by_place[name, severity] for severity in severities]
        values = [Entry(text=percent(one.top1.value, 1)) for one in found]
        against = Entry(text=percent(relative[name], 1)) if name in relative else missing()
        return (
            Entry(text=name.replace("_", " ")),
            Entry(text=families[name]),
            *values,
            Entry(text=percent(mean_top1(found), 1)),
            *([against] if relative else []),
        )

    last = [Column(title=f"Error over {record.against.name}'s", unit="%")] if record.against and relative else []
    return Table(
        name="corruptions",
        caption=f"Top-1 under corruptions, by severity; {percent(record.top1.value, 1)} % without",
        columns=(
            Column(title="Corruption", text=True),
            Column(title="Family", text=True),
            *(Column(title=str(severity), unit="%", group="Severity") for severity in severities),
            Column(title="Mean", unit="%"),
            *last,
        ),
        rows=tuple(map(row, names)),
        remarks=(
            f"The mean top-1 over all of these is {percent(mean_top1(record.corruptions), 1)} %, the mean error "
            f"{percent(1 - mean_top1(record.corruptions), 1)} %, not divided by AlexNet's. The pictures are computed "
            "here, after the crop; published ImageNet-C figures are of the authors' files, with photographs of frost.",
        ),
        data=tuple(
            {"corruption": found.name, "family": found.family, "severity": found.severity, **_data(found.top1)}
            for found in record.corruptions
        ),
    )


def corruption_errors_against(record: EvaluationRecord, other: Opponent) -> list[str]:
    """Return in a sentence the mean of the errors under corruptions over those of another network."""
    if not record.corruptions:
        return []
    relative = other.corruption_errors
    if not relative:
        return [
            f"{other.name} was not evaluated under these corruptions with the same seed, severities and preparation: "
            "no errors are set against its."
        ]
    severities = {found.severity for found in record.corruptions}
    which = "the benchmark's mCE, but with this baseline, on pictures computed here"
    if not is_benchmark(relative, severities):
        which = f"over {counted(len(relative), 'corruption')}, not the benchmark's fifteen at five severities"
    mean = sum(relative.values()) / len(relative)
    return [f"Mean corruption error {percent(mean, 1)} % of that of {other.name} ({which})."]


def calibration_table(record: EvaluationRecord) -> Table:
    """The bins of confidence."""
    return Table(
        name="calibration",
        caption="Confidence and accuracy by bin",
        columns=(
            Column(title="Confidence", text=True),
            Column(title="Images"),
            Column(title="Mean confidence", unit="%"),
            Column(title="Accuracy", unit="%"),
        ),
        rows=tuple(
            (
                Entry(text=f"{found.low:.3f} to {found.high:.3f}"),
                Entry(text=number(found.images, 0)),
                Entry(text=percent(found.confidence, 1)) if found.images else missing(),
                Entry(text=percent(found.accuracy, 1)) if found.images else missing(),
            )
            for found in record.calibration.bins
        ),
        data=tuple(
            {
                "low": found.low,
                "high": found.high,
                "images": found.images,
                "confidence": found.confidence,
                "accuracy": found.accuracy,
            }
            for found in record.calibration.bins
        ),
    )


def worst_classes(record: EvaluationRecord, count: int) -> Table:
    """The classes with the lowest accuracy, the lowest first."""
    chosen = sorted(record.classes, key=lambda found: found.top1.value)[:count]
    return class_table(chosen, "worst_classes", f"The {counted(len(chosen), 'class', 'classes')} known least")


def mean_top1(found: Sequence[Corrupted]) -> float:
    """Mean of the top-1 of several corruptions, a fraction."""
    return sum(one.top1.value for one in found) / len(found)


def p_value(value: float) -> str:
    """Print a probability: three decimals, or that it is below them."""
    return "< 0.001" if value < 0.001 else number(value, 3)


def _variation(found: Variation, *, top5: bool) -> tuple[Entry, ...]:
    paired = found.paired
    return (
        Entry(text=found.name),
        Entry(text=f"{found.preprocess.resize_short}, {found.preprocess.size}"),
        *_share("", found.top1)[1:3],
        *([Entry(text=percent(found.top5.value))] if top5 else []),
        Entry(text=signed(100 * paired.difference, 2)) if paired else missing(),
        Entry(text=f"{paired.first_only:,}, {paired.second_only:,}") if paired else missing(),
        Entry(text=p_value(paired.p_value)) if paired else missing(),
    )


def _share(name: str, found: Share, decimals: int = 2) -> tuple[Entry, ...]:
    return (
        Entry(text=name),
        Entry(text=percent(found.value, decimals)),
        Entry(text=f"{percent(found.low, decimals)} to {percent(found.high, decimals)}"),
        Entry(text=number(found.right, 0)),
        Entry(text=number(found.images, 0)),
    )


def _published(found: Share, claim: float | None) -> tuple[Entry, Entry]:
    if claim is None:
        return missing(), missing()
    return Entry(text=percent(claim)), Entry(text=signed(100 * (found.value - claim), 2))


def _data(found: Share) -> dict[str, float]:
    return {
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "right": found.right,
        "images": found.images,
    }
