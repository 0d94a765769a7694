"""The page of a run of `resnexus distill`: what each step gave, and the pictures that were kept and left out."""

from __future__ import annotations

from pathlib import Path

from resnexus.evaluation.metrics import spread
from resnexus.files import write_text
from resnexus.records import write_json
from resnexus.report.conditions import machine_facts, settings_facts, where_and_when
from resnexus.report.distillation_record import DistillationRun, Stage
from resnexus.report.findings import BETTER, ENOUGH_SEEDS, NO_DIFFERENCE, UNKNOWN, Difference, paired
from resnexus.report.printing import counted, listed, number, percent, signed
from resnexus.report.table import Column, Entry, Table, missing, to_csv, to_markdown
from resnexus.report.templates import shipped, template

GENERATOR = "resnexus distill"
"""By which a page is known as a run's."""
RECORD = "run.json"
_RARE = 10
"""Rare classes that are named."""
_SMALL = 64
"""Pixels on a side below which a larger size is not expected to help."""
_AT_OTHER_SIZES = ("with the same weights", "with the classifier trained there")
"""How the stages at another size differ from the last one before them."""


def write_distillation(run: DistillationRun, out: Path) -> Path:
    """Write `index.html`, which needs no other file and no network, `run.json` and `tables/`; return the page.

    Raises:
        ResnexusError: a file cannot be written, or jinja2 is not installed.
    """
    text = render(run)
    write_json(run, out / RECORD)
    for table in (stage_table(run), pool_table(run), class_table(run)):
        write_text(to_markdown(table), out / "tables" / f"{table.name}.md")
        write_text(to_csv(table), out / "tables" / f"{table.name}.csv")
    write_text(text, out / "index.html")
    return out / "index.html"


def render(run: DistillationRun) -> str:
    """Return the page as HTML; the same record gives the same bytes."""
    return str(
        template("distillation.html").render(
            run=run,
            generator=GENERATOR,
            css=shipped("page.css"),
            summary=[_pool_sentence(run), *where_and_when(run.environment)],
            findings=findings(run),
            caution=caution(run),
            stages=stage_table(run),
            pool=pool_table(run),
            rare=_rare_sentence(run),
            classes=class_table(run),
            facts={**_facts(run), **machine_facts(run.environment), "Settings": settings_facts(run.settings)},
        )
    )


def findings(run: DistillationRun) -> list[str]:
    """Return what the run found, a sentence each, whatever it is."""
    baseline, last = run.own_size[0], run.own_size[-1]
    teacher = run.teacher
    found = [
        f"{run.student} reaches {_mean(last)} % top-1, the mean of {counted(len(last.results), 'seed')}; from labels "
        f"alone, for as many steps, {_mean(baseline)} %.",
        f"Its teacher, {teacher.name}, reaches {percent(teacher.top1)} %. {teacher.learned}",
    ]
    difference = paired(last.by_seed, baseline.by_seed)
    if last is not baseline and difference is not None:
        found.append(f"{_verdict(difference)} Points of top-1, student minus baseline: {_signed(difference)}.")
    for before, stage in zip(run.own_size[1:], run.own_size[2:], strict=False):
        step = paired(stage.by_seed, before.by_seed)
        if step is not None:
            found.append(f"{stage.title}: {_signed(step)} points on top of the stage before; {step.finding}.")
    return [*found, *_at_other_sizes(run)]


def _at_other_sizes(run: DistillationRun) -> list[str]:
    """Return what larger pictures gave, and why they gave nothing where they are small."""
    own, stages = run.own_size[-1], run.other_size
    steps = [step for stage in stages if (step := paired(stage.by_seed, own.by_seed)) is not None]
    if not steps:
        return []
    size, cost = stages[-1].size, number((stages[-1].size / own.size) ** 2, 2)
    parts = [f"{_signed(step)} points {words}" for step, words in zip(steps, _AT_OTHER_SIZES, strict=False)]
    found = [
        f"At {size} pixels instead of {own.size}, for some {cost} times the FLOPs: {', '.join(parts)}; "
        f"{steps[-1].finding}."
    ]
    if own.size < _SMALL and steps[-1].finding != BETTER:
        found.append(
            f"Pictures of {own.size} pixels are too small for this step, which was made for photographs of 224 and is "
            "here to be seen: their last feature map is a few positions wide, and at another size others of them lie "
            "at its border. The student is the one before."
        )
    return found


def caution(run: DistillationRun) -> str:
    """Return what the intervals cover and what they do not."""
    one = percent(1 / run.val)
    covered = (
        "Differences are paired by seed, with a 95 % interval from Student's t, each for one comparison alone. The "
        "interval covers the seeds of the student; the teacher, the mined pictures and the "
        if len(run.stages[0].results) >= ENOUGH_SEEDS
        else "Too few seeds for intervals. The "
    )
    return f"{covered}{counted(run.val, 'image')} to evaluate on, of which one is {one} points, are the same for all."


def stage_table(run: DistillationRun) -> Table:
    """Return the teacher, the baseline and the student after every stage, and what each stage gave."""
    baseline = run.stages[0]
    teacher = (
        Entry(text="Teacher", detail=run.teacher.name),
        Entry(text=percent(run.teacher.top1), detail="one network"),
        *(missing() for _ in range(4)),
    )
    rows = [teacher]
    for place, stage in enumerate(run.stages):
        before = run.stages[place - 1] if place > 1 else None
        rows.append(
            (
                Entry(text=stage.title, detail=stage.what),
                _spread(stage),
                *_difference(None if stage is baseline else paired(stage.by_seed, baseline.by_seed)),
                _difference(None if before is None else paired(stage.by_seed, before.by_seed))[0],
                _seconds(stage),
            )
        )
    return Table(
        name="stages",
        caption=f"Top-1 of {run.student} on {counted(run.val, 'image')} of {run.data}",
        columns=(
            Column(title="Network", text=True),
            Column(title="Top-1", unit="%, mean ± s.d."),
            Column(title="Minus baseline", unit="points, 95 % interval"),
            Column(title="Finding", text=True),
            Column(title="Minus the stage before", unit="points, 95 % interval"),
            Column(title="Training", unit="s per seed"),
        ),
        rows=tuple(rows),
        data=tuple(
            {"stage": stage.name, "seed": one.seed, "top1": one.top1, "images": one.images, "seconds": one.seconds}
            for stage in run.stages
            for one in stage.results
        ),
    )


def pool_table(run: DistillationRun) -> Table:
    """Return what became of the pictures without labels, each counted once, and why."""
    pool = run.pool
    rows: tuple[tuple[str, int | None, str], ...] = (
        ("Mined", pool.mined, "the student learns from them"),
        ("Unreadable", pool.unreadable, "left out: the teacher could not see them"),
        ("Copies", pool.duplicates, "left out: near-duplicates of labelled pictures"),
        ("Unsure", pool.unsure, f"left out: no class is {100 * pool.min_confidence:g} % probable"),
        ("Surplus", pool.surplus, f"left out: {pool.most:,} of their class are surer"),
    )
    return Table(
        name="pool",
        caption=f"What became of {counted(pool.pictures, 'picture')} without labels",
        columns=(
            Column(title="What became", text=True),
            Column(title="Pictures", unit="number, share"),
        ),
        rows=tuple(
            (Entry(text=title, detail="not looked for"), missing())
            if count is None
            else (
                Entry(text=title, detail=why),
                Entry(text=number(count, 0), detail=f"{percent(count / pool.pictures, 1)} %"),
            )
            for title, count, why in rows
        ),
        data=tuple({"what": title.lower(), "pictures": count} for title, count, _ in rows),
    )


def class_table(run: DistillationRun) -> Table:
    """Return how many pictures were mined of each class."""
    return Table(
        name="mined",
        caption="Pictures mined, by the class that the teacher gives them",
        columns=(Column(title="Class", text=True), Column(title="Pictures", unit="number")),
        rows=tuple((Entry(text=name), Entry(text=number(count, 0))) for name, count in run.pool.per_class.items()),
        data=tuple({"class": name, "pictures": count} for name, count in run.pool.per_class.items()),
    )


def _pool_sentence(run: DistillationRun) -> str:
    pool = run.pool
    dropped = "" if pool.duplicates is None else f"{pool.duplicates:,} were near-duplicates of labelled ones, "
    return (
        f"{counted(run.labelled, 'labelled picture')} and {pool.pictures:,} without labels: {pool.unreadable:,} could "
        f"not be read, {dropped}of {pool.unsure:,} the teacher was not sure enough, {pool.surplus:,} were more of a "
        f"class than were asked for, and {pool.mined:,} were mined."
    )


def _rare_sentence(run: DistillationRun) -> str:
    """Return which classes the pool has too few of; empty if none."""
    pool, rare = run.pool, run.pool.rare
    if not rare:
        return ""
    names = [f"{name} ({count:,})" for name, count in list(rare.items())[:_RARE]]
    more = [f"{len(rare) - _RARE:,} more"] if len(rare) > _RARE else []
    return (
        f"{len(rare):,} of {counted(len(pool.per_class), 'class', 'classes')} have fewer than the {pool.most:,} that "
        f"were asked for: {listed([*names, *more])}."
    )


def _facts(run: DistillationRun) -> dict[str, list[tuple[str, str]]]:
    return {
        "Data": [
            ("Name", run.data),
            ("Classes", number(run.classes, 0)),
            ("Labelled, to train on", number(run.labelled, 0)),
            ("Labelled, to evaluate on", number(run.val, 0)),
            ("Without labels", number(run.pool.pictures, 0)),
        ],
        "Networks": [
            ("Teacher", run.teacher.name),
            ("Student", run.student),
            ("Parameters of the student", f"{number(run.mparams, 3)} M"),
            ("FLOPs of the student", f"{number(run.gflops, 4)} GFLOPs"),
            *((f"Weights, seed {seed}", name) for seed, name in run.weights.items()),
        ],
        "Seconds": [(name, number(seconds, 1)) for name, seconds in run.seconds.items()],
    }


def _spread(stage: Stage) -> Entry:
    found = spread([result.top1 for result in stage.results])
    detail = f"{counted(found.count, 'seed')}" if found.std is None else f"± {percent(found.std)}"
    return Entry(text=percent(found.mean), detail=detail)


def _seconds(stage: Stage) -> Entry:
    """Return the mean over the seeds; nothing for a stage that trains nothing."""
    mean = sum(result.seconds for result in stage.results) / len(stage.results)
    return Entry(text=number(mean, 1)) if mean else missing()


def _difference(found: Difference | None) -> tuple[Entry, Entry]:
    if found is None:
        return missing(), missing()
    return Entry(text=signed(100 * found.mean, 2), detail=found.range), Entry(text=found.finding)


def _signed(found: Difference) -> str:
    return signed(100 * found.mean, 2) + (f" ({found.range})" if found.range else "")


def _verdict(found: Difference) -> str:
    if found.finding == UNKNOWN:
        return f"Too few seeds, {found.pairs} instead of at least {ENOUGH_SEEDS}: no difference is claimed."
    if found.finding == NO_DIFFERENCE:
        return "No difference between student and baseline that these seeds can show."
    return f"The student is {found.finding} than the baseline."


def _mean(stage: Stage) -> str:
    return percent(spread([result.top1 for result in stage.results]).mean)
