"""Which figures the report has, and the points in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from resnexus.benchmark.cell import Cell
from resnexus.evaluation.metrics import Spread, spread
from resnexus.report.latencies import Setting, latencies
from resnexus.report.printing import decimals_for, flops_unit, number, parameters_unit, percent
from resnexus.report.record import Comparison, TrainedNetwork
from resnexus.report.same_cost import Cost, costs
from resnexus.report.series_tables import is_extra

_TOP1 = "Top-1 accuracy (%)"
_PREFERRED_BATCH = 4  # of the original page's figures


@dataclass(frozen=True, kw_only=True)
class Point:
    """One network in a figure.

    Attributes:
        name: in full.
        label: in the figure; shorter where the line says the rest.
        family: gives colour and shape.
        line: points with the same line are joined; empty for none.
        order: position along the line.
        x: in the unit of the axis.
        y: in the unit of the axis.
        x_range: ends of a horizontal bar, or None.
        y_range: ends of a vertical bar, or None.
        hollow: drawn hollow, and not joined.
        description: what a reader sees on pointing at it.
    """

    name: str
    label: str
    family: str
    line: str
    order: float
    x: float
    y: float
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    hollow: bool = False
    description: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: accuracy against something.

    Attributes:
        name: of its files.
        title: what it shows.
        caption: how to read it.
        x_title: with the unit.
        y_title: with the unit.
        logarithmic: whether the horizontal axis is.
        points: at least one.
    """

    name: str
    title: str
    caption: str
    x_title: str
    y_title: str = _TOP1
    logarithmic: bool = False
    points: tuple[Point, ...]


def data_figures(comparison: Comparison) -> list[Figure]:
    """Return accuracy on the user's data against FLOPs, parameters, and latency in each precision."""
    trained = [network for network in comparison.networks if network.runs]
    if not trained:
        return []
    flops = flops_unit(network.gflops for network in trained)
    size = parameters_unit(network.mparams for network in trained)
    bars = "Bars: one standard deviation over the seeds on either side, within 0 to 100 %. "
    bars = bars if _has_spread(trained) else ""
    by_flops = {network.name: network.gflops * flops.factor for network in trained}
    by_size = {network.name: network.mparams * size.factor for network in trained}
    figures = [
        Figure(
            name="data_accuracy_flops",
            title=f"Accuracy on {comparison.data} against FLOPs",
            caption=bars + "Each point is one network.",
            x_title=f"FLOPs ({flops.name})",
            points=_data_points(trained, by_flops, flops.name),
        ),
        Figure(
            name="data_accuracy_parameters",
            title=f"Accuracy on {comparison.data} against parameters",
            caption=bars + "Each point is one network.",
            x_title=f"Parameters ({size.name})",
            points=_data_points(trained, by_size, size.name),
        ),
    ]
    found = latencies(comparison.latency)
    for setting in found.settings:
        batch_size = _batch_size(found.batch_sizes(setting))
        cells = found.cells[setting][batch_size]
        figures += _latency_figure(comparison.data, trained, setting, batch_size, cells, bars)
    return figures


def series_figures(comparison: Comparison) -> list[Figure]:
    """Return published accuracy against counted FLOPs and parameters, and latency on the T4 and here."""
    return [figure for cost in costs(comparison) if (figure := _series_figure(comparison, cost)) is not None]


def short_label(name: str, line: str) -> str:
    """Return the depth, if `name` is its line with a depth in it (`ResNeXt101_32x4d` -> `101`), else the name."""
    for start in range(len(name)):
        if name[start].isdigit() and not name[start - 1 : start].isdigit():
            end = start
            while end < len(name) and name[end].isdigit():
                end += 1
            if name[:start] + name[end:] == line:
                return name[start:end]
    return name


def _latency_figure(
    data: str,
    trained: list[TrainedNetwork],
    setting: Setting,
    batch_size: int,
    cells: dict[str, Cell],
    bars: str,
) -> list[Figure]:
    timed = [network for network in trained if network.name in cells]
    if not timed:
        return []
    medians = {name: cell.median_ms for name, cell in cells.items()}
    ranges = {name: (cell.p10_ms, cell.p90_ms) for name, cell in cells.items()}
    return [
        Figure(
            name=f"data_accuracy_latency_{setting.file_name}_bs{batch_size}",
            title=f"Accuracy on {data} against {setting.precision} latency, batch {batch_size}",
            caption=bars + f"Horizontal bars: 10th to 90th percentile of the latency. Measured on {setting.title}.",
            x_title=f"Latency per batch of {batch_size}, {setting.precision} (ms)",
            points=_data_points(timed, medians, "ms", ranges),
        )
    ]


def _data_points(
    networks: list[TrainedNetwork],
    values: dict[str, float],
    unit: str,
    ranges: dict[str, tuple[float, float]] | None = None,
) -> tuple[Point, ...]:
    decimals = decimals_for(values[network.name] for network in networks)
    points = []
    for network in networks:
        top1 = spread([run.top1 for run in network.runs])
        low_high = None
        if top1.std is not None:
            low_high = (100 * max(0.0, top1.mean - top1.std), 100 * min(1.0, top1.mean + top1.std))
        points.append(
            Point(
                name=network.name,
                label=network.name,
                family=network.family,
                line=network.line,
                order=network.gflops,
                x=values[network.name],
                y=100 * top1.mean,
                x_range=ranges[network.name] if ranges else None,
                y_range=low_high,
                description=f"{network.name}: {_with_spread(top1)}, {number(values[network.name], decimals)} {unit}",
            )
        )
    return tuple(points)


def _series_figure(comparison: Comparison, cost: Cost) -> Figure | None:
    networks = [network for network in comparison.series if network.architecture in cost.values]
    if not networks:
        return None
    shown = Counter(network.line for network in networks if not is_extra(network))
    largest = {n.line: n.name for n in sorted(networks, key=lambda n: n.gflops) if not is_extra(n)}
    decimals = decimals_for(cost.values[network.architecture] for network in networks)
    points = []
    for network in networks:
        extra, value = is_extra(network), cost.values[network.architecture]
        whole = extra or shown[network.line] == 1 or largest[network.line] == network.name
        points.append(
            Point(
                name=network.name,
                label=network.name if whole else short_label(network.name, network.line),
                family=network.family,
                line="" if extra else network.line,
                order=network.gflops,
                x=value,
                y=100 * network.top1,
                hollow=extra,
                description=f"{network.name}: {percent(network.top1)} % top-1, {number(value, decimals)} {cost.unit}",
            )
        )
    hollow = (
        " Hollow points are SSLD checkpoints: the same networks, trained by distillation."
        if any(point.hollow for point in points)
        else ""
    )
    return Figure(
        name=f"series_accuracy_{cost.key}",
        title=f"Published accuracy against {cost.title}",
        caption="A line joins the depths of one network; its deepest carries the full name." + hollow,
        x_title=_x_title(cost),
        logarithmic=True,
        points=tuple(points),
    )


def _x_title(cost: Cost) -> str:
    title = f"{cost.title[0].upper()}{cost.title[1:]}"
    return f"{title}, {cost.unit}" if cost.latency else f"{title}, counted ({cost.unit})"


def _batch_size(sizes: list[int]) -> int:
    return _PREFERRED_BATCH if _PREFERRED_BATCH in sizes else sizes[0]


def _has_spread(networks: Iterable[TrainedNetwork]) -> bool:
    return any(len(network.runs) > 1 for network in networks)


def _with_spread(top1: Spread) -> str:
    deviation = "" if top1.std is None else f" ± {percent(top1.std)}"
    return f"{percent(top1.mean)}{deviation} % top-1"
