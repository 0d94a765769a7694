"""What the records of a comparison in segmentation or detection support: sentences, tables and figures."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from resnexus.evaluation.metrics import spread
from resnexus.report.dense.record import TITLES, DenseComparison, DenseTrained
from resnexus.report.figures import Figure, Point
from resnexus.report.findings import Difference, paired, verdicts
from resnexus.report.printing import counted, decimals_for, flops_unit, listed, number, parameters_unit, percent, signed
from resnexus.report.table import Column, Entry, Table, missing


def reference(comparison: DenseComparison) -> DenseTrained | None:
    """Return the network that the others are compared with: the first ResNet, or None."""
    return next((network for network in comparison.networks if network.family == "ResNet"), None)


def differences(comparison: DenseComparison) -> dict[str, Difference]:
    """Return network -> its difference from the reference, paired by seed; none for the reference."""
    other = reference(comparison)
    if other is None:
        return {}
    found = {
        network.name: paired(_by_seed(network), _by_seed(other))
        for network in comparison.networks
        if network is not other
    }
    return {name: difference for name, difference in found.items() if difference is not None}


def findings(comparison: DenseComparison) -> list[str]:
    """Return the verdict, a sentence each, whatever it is."""
    metric, networks = TITLES[comparison.metric], comparison.networks
    best = max(networks, key=_mean)
    other = reference(comparison)
    has = "has the highest" if len(networks) > 1 else "has a"
    found = [f"{best.name} {has} mean {metric} of {percent(_mean(best))} %."]
    if other is None:
        return [*found, "No ResNet was trained, so there is nothing to compare with."]
    if len(networks) > 1:
        found += verdicts(differences(comparison), other.name, metric)
    return found


def caution(comparison: DenseComparison) -> str:
    """Return what the intervals cover and what they do not; empty if there are none."""
    if not any(difference.interval for difference in differences(comparison).values()):
        return ""
    return (
        "Differences are paired by seed, with a 95 % interval from Student's t, each for one comparison alone. The "
        f"interval covers the seeds: {_seeded(comparison)}. It does not cover the choice of the "
        f"{_images(comparison, comparison.val_images)} that all are evaluated on, nor other data"
        + ("." if comparison.photographs else ": small networks on digits say little about large ones on photographs.")
    )


def score_table(comparison: DenseComparison) -> Table:
    """Return every metric with its spread, cost and training time, one row for each network."""
    networks, other, found = comparison.networks, reference(comparison), differences(comparison)
    flops = flops_unit(network.gflops for network in networks)
    size = parameters_unit(network.mparams for network in networks)
    flops_decimals = decimals_for(network.gflops * flops.factor for network in networks)
    size_decimals = decimals_for(network.mparams * size.factor for network in networks)
    metrics = list(networks[0].runs[0].scores)
    of_what = f"photographs of {comparison.data}" if comparison.photographs else "digits on canvases"
    columns = [
        Column(title="Backbone", text=True),
        Column(title="Parameters", unit=size.name),
        Column(title="FLOPs", unit=flops.name),
        *(Column(title=TITLES[metric], unit="%, mean ± s.d.") for metric in metrics),
    ]
    if other is not None:
        columns += [
            Column(title=f"{TITLES[metrics[0]]} minus {other.name}", unit="points, 95 % interval"),
            Column(title="Finding", text=True),
        ]
    columns.append(Column(title="Training", unit="s per run"))
    rows = []
    for network in networks:
        row = [
            Entry(text=network.name, detail=network.family),
            Entry(text=number(network.mparams * size.factor, size_decimals)),
            Entry(text=number(network.gflops * flops.factor, flops_decimals)),
            *(_spread(network, metric) for metric in metrics),
        ]
        if other is not None:
            row += _difference(found.get(network.name), is_reference=network is other)
        row.append(Entry(text=number(fmean(run.seconds for run in network.runs), 1)))
        rows.append(tuple(row))
    return Table(
        name=f"{comparison.task}_scores",
        caption=f"{comparison.task.capitalize()} of {of_what}, and what each backbone costs",
        columns=tuple(columns),
        rows=tuple(rows),
        data=tuple(
            {"network": network.name, "seed": run.seed, **run.scores, "seconds": run.seconds, "gflops": network.gflops}
            for network in networks
            for run in network.runs
        ),
    )


def figures(comparison: DenseComparison) -> list[Figure]:
    """Return the metric against FLOPs, and epoch by epoch the training loss and, where it was measured, the metric."""
    flops = flops_unit(network.gflops for network in comparison.networks)
    title = TITLES[comparison.metric]
    cost, losses, curves = list[Point](), list[Point](), list[Point]()
    for network in comparison.networks:
        found, x = spread([run.score for run in network.runs]), network.gflops * flops.factor
        low_high = None
        if found.std is not None:
            low_high = (100 * max(0.0, found.mean - found.std), 100 * min(1.0, found.mean + found.std))
        words = f"{percent(found.mean)} % {title}, {number(x, 2)} {flops.name}"
        cost.append(replace(_point(network, x, 100 * found.mean, words), y_range=low_high))
        means = [fmean(values) for values in zip(*(run.losses for run in network.runs), strict=True)]
        losses += _line(network, dict(enumerate(means, start=1)), "loss {:.3f}")
        curves += _line(network, _curve(network), f"{{:.2f}} % {title}")
    bars = "Bars: one standard deviation over the seeds on either side. "
    found_figures = [
        Figure(
            name=f"{comparison.task}_flops",
            title=f"{title} against FLOPs of the backbone",
            caption=(bars if any(point.y_range for point in cost) else "") + "Each point is one backbone.",
            x_title=f"FLOPs ({flops.name})",
            y_title=f"{title} (%)",
            points=tuple(cost),
        ),
        Figure(
            name=f"{comparison.task}_loss",
            title="Training loss",
            caption="Mean over the steps of an epoch and over the seeds."
            + ("" if comparison.photographs else " Every epoch composes its canvases anew."),
            x_title="Epoch",
            y_title="Loss",
            points=tuple(losses),
        ),
    ]
    if curves:
        found_figures.append(
            Figure(
                name=f"{comparison.task}_curve",
                title=f"{title} in the course of the training",
                caption="Mean over the seeds, on the images of the evaluation; the training does not go by it.",
                x_title="Epoch",
                y_title=f"{title} (%)",
                points=tuple(curves),
            )
        )
    return found_figures


def summary(comparison: DenseComparison) -> str:
    """Return what was trained on what, in a sentence."""
    seeds = sorted({len(network.runs) for network in comparison.networks})
    often = "once" if seeds == [1] else f"{seeds[-1]} times with other seeds"
    flops = [network.gflops for network in comparison.networks]
    apart = number(100 * (max(flops) / min(flops) - 1), 1)
    each, cost = "", ""
    if len(flops) > 1:
        each = "each "
        cost = f" The largest backbone has {apart} % more FLOPs than the smallest; pyramid and head are the same."
    size = f"{comparison.image_size}x{comparison.image_size} pixels"
    how = f"{listed(network.name for network in comparison.networks)}, {each}trained {often} on"
    train, val = (_images(comparison, count) for count in (comparison.train_images, comparison.val_images))
    if comparison.photographs:
        return f"{how} {train} of {comparison.data} at {size} and evaluated on {val}.{cost}"
    return f"{how} {train} an epoch of {size} and evaluated on {comparison.val_images:,} with other glyphs.{cost}"


def _images(comparison: DenseComparison, count: int) -> str:
    """Return how many there are of what the networks see, e.g. "200 canvases"."""
    return counted(count, *(("photograph", "photographs") if comparison.photographs else ("canvas", "canvases")))


def _seeded(comparison: DenseComparison) -> str:
    if comparison.photographs:
        return "initial weights, of the heads at least, and the order and the flips of the training photographs"
    return "initial weights, training canvases and their order"


def _by_seed(network: DenseTrained) -> dict[int, float]:
    return {run.seed: run.score for run in network.runs}


def _mean(network: DenseTrained) -> float:
    return fmean(run.score for run in network.runs)


def _spread(network: DenseTrained, metric: str) -> Entry:
    found = spread([run.scores[metric] for run in network.runs])
    if found.std is None:
        return Entry(text=percent(found.mean), detail="one seed")
    return Entry(text=f"{percent(found.mean)} ± {percent(found.std)}", detail=counted(found.count, "seed"))


def _difference(found: Difference | None, *, is_reference: bool) -> list[Entry]:
    if found is None:
        return [missing(), Entry(text="reference" if is_reference else "no common seed")]
    return [Entry(text=signed(100 * found.mean, 2), detail=found.range), Entry(text=found.finding)]


def _curve(network: DenseTrained) -> dict[int, float]:
    """Return epoch -> mean over the seeds in per cent; nothing where not all were evaluated after the same ones."""
    curves = [{milestone.epoch: milestone.score for milestone in run.curve} for run in network.runs]
    if any(curve.keys() != curves[0].keys() for curve in curves):
        return {}
    return {epoch: 100 * fmean(curve[epoch] for curve in curves) for epoch in curves[0]}


def _line(network: DenseTrained, values: dict[int, float], words: str) -> list[Point]:
    """Return the points of a curve over epochs; the last one is labelled."""
    return [
        _point(
            network,
            epoch,
            value,
            f"epoch {epoch}, {words.format(value)}",
            label=network.name if epoch == max(values) else "",
            line=network.name,
        )
        for epoch, value in values.items()
    ]


def _point(network: DenseTrained, x: float, y: float, words: str, label: str | None = None, line: str = "") -> Point:
    return Point(
        name=network.name,
        label=network.name if label is None else label,
        family=network.family,
        line=line,
        order=x,
        x=x,
        y=y,
        description=f"{network.name}: {words}",
    )
