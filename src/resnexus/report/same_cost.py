"""The original page's statement, checked: accuracy and speed against the ResNet line at the same cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from resnexus.report.latencies import latencies
from resnexus.report.printing import counted, listed, number, signed
from resnexus.report.record import Comparison, SeriesNetwork
from resnexus.report.series_tables import is_extra, wrong
from resnexus.report.table import Column, Entry, Table, missing

_BEYOND = 0.05  # of the ends of the ResNet line: such a network is compared with the nearest end
_ROUNDING = 0.001  # published accuracies have three decimals


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the networks of the series cost, in one sense.

    Attributes:
        title: e.g. `"FLOPs"`.
        key: the same as part of a file's name.
        unit: of the values.
        values: architecture -> cost; networks of unknown cost are left out.
        latency: whether it is a latency.
    """

    title: str
    key: str
    unit: str
    values: Mapping[str, float]
    latency: bool = False


@dataclass(frozen=True, kw_only=True)
class SameCost:
    """Networks against the ResNet line at the same cost; those outside its range are left out.

    Attributes:
        cost: what is held equal.
        differences: network -> its published top-1 minus that of the line, fractions.
    """

    cost: Cost
    differences: Mapping[str, float]

    @property
    def more(self) -> int:
        """How many networks are more accurate, by more than the rounding of published figures."""
        return sum(value > _ROUNDING for value in self.differences.values())


def costs(comparison: Comparison) -> list[Cost]:
    """Return the costs that the figures use: FLOPs, parameters, two latencies on a T4, and fp32 latency here.

    Published latencies that are known to be wrong are left out.
    """
    networks = [network for network in comparison.series if not is_extra(network)]
    found = [
        Cost(title="FLOPs", key="flops", unit="GFLOPs", values={n.name: n.gflops for n in networks}),
        Cost(title="parameters", key="parameters", unit="M", values={n.name: n.mparams for n in networks}),
    ]
    for precision in ("fp32", "fp16"):
        field = f"{precision}_bs4"
        values = {n.name: n.t4_ms[field] for n in networks if field in n.t4_ms and not wrong(n, field)}
        found.append(
            Cost(
                title=f"T4 latency ({precision}, batch 4)",
                key=f"t4_{precision}_bs4",
                unit="ms",
                values=values,
                latency=True,
            )
        )
    measured = latencies(comparison.series_latency)
    for setting in measured.settings:
        if setting.precision == "fp32" and 1 in measured.batch_sizes(setting):
            values = {model: cell.median_ms for model, cell in measured.cells[setting][1].items()}
            title, key = f"latency here ({setting.title}, batch 1)", f"{setting.file_name}_bs1"
            found.append(Cost(title=title, key=key, unit="ms", values=values, latency=True))
    return [cost for cost in found if any(network.name in cost.values for network in networks)]


def baseline(comparison: Comparison) -> list[SeriesNetwork]:
    """Return the ResNet line by ascending FLOPs: what the original page compares with."""
    networks = [network for network in comparison.series if network.family == "ResNet" and not is_extra(network)]
    line = networks[0].line if networks else ""
    return sorted((network for network in networks if network.line == line), key=lambda network: network.gflops)


def same_cost(comparison: Comparison) -> list[SameCost]:
    """Return, for each cost, how much more accurate every network is than the ResNet line at that cost."""
    found = []
    for cost in costs(comparison):
        line = [(cost.values[n.name], n.top1) for n in baseline(comparison) if n.name in cost.values]
        differences = {}
        for network in _others(comparison):
            at = _interpolated(line, cost.values.get(network.name))
            if at is not None:
                differences[network.name] = network.top1 - at
        if differences:
            found.append(SameCost(cost=cost, differences=differences))
    return found


def slowdown(comparison: Comparison) -> list[tuple[Cost, dict[str, float]]]:
    """Return, for each latency, network -> its latency over that of the ResNet line at the same FLOPs."""
    found = []
    for cost in costs(comparison):
        if not cost.latency:
            continue
        known = [n for n in baseline(comparison) if n.name in cost.values]
        line = [(n.gflops, math.log(cost.values[n.name])) for n in known]
        ratios = {}
        for network in _others(comparison):
            at, value = _interpolated(line, network.gflops), cost.values.get(network.name)
            if at is not None and value is not None:
                ratios[network.name] = value / math.exp(at)
        if ratios:
            found.append((cost, ratios))
    return found


def answers(comparison: Comparison) -> list[str]:
    """Return what the published figures say about the original page's statement, in a sentence or two."""
    accuracy = [
        f"{same.more} of {counted(len(same.differences), 'network')} at the same {same.cost.title}"
        for same in same_cost(comparison)
    ]
    speed = []
    for cost, ratios in slowdown(comparison):
        slower = sum(ratio > 1 for ratio in ratios.values())
        times = number(median(ratios.values()), 2)
        speed.append(f"{slower} of {counted(len(ratios), 'network')} in {cost.title} (median {times} times as long)")
    found = [f"More accurate than the ResNet line: {listed(accuracy)}."] if accuracy else []
    return found + ([f"Slower than the ResNet line at the same FLOPs: {listed(speed)}."] if speed else [])


def same_cost_table(comparison: Comparison) -> Table | None:
    """Return both comparisons, a row for each line of networks; None if there is no ResNet line."""
    accuracy, slower = same_cost(comparison), slowdown(comparison)
    if not accuracy:
        return None
    lines: dict[str, list[str]] = {}
    for network in _others(comparison):
        lines.setdefault(network.line, []).append(network.name)
    columns = [Column(title="Line", text=True)]
    columns += [
        Column(title=f"same {found.cost.title}", unit="points", group="Top-1 minus ResNet's") for found in accuracy
    ]
    columns += [
        Column(title=cost.title, unit="times ResNet's", group="Latency at the same FLOPs") for cost, _ in slower
    ]
    rows = []
    for line, names in lines.items():
        row = [Entry(text=line)]
        row += [_mean_entry(found.differences, names, lambda value: signed(100 * value, 2)) for found in accuracy]
        row += [_mean_entry(ratios, names, lambda value: number(value, 2)) for _, ratios in slower]
        rows.append(tuple(row))
    return Table(
        name="series_same_cost",
        caption=(
            f"Against the {baseline(comparison)[0].line} line: mean over the networks of each line; "
            "below it, how many of them have a ResNet of the same cost beside them"
        ),
        columns=tuple(columns),
        rows=tuple(rows),
        remarks=(
            "Between two ResNets the line is interpolated over the logarithm of the cost, as the figures draw it. "
            "A network more than 5 % beyond the ends of the line is not compared. More accurate means by more than the "
            "0.1 points to which accuracies were published.",
        ),
        data=tuple(_data(network, accuracy, slower) for network in _others(comparison)),
    )


def _others(comparison: Comparison) -> list[SeriesNetwork]:
    return [network for network in comparison.series if network.family != "ResNet" and not is_extra(network)]


def _interpolated(line: Sequence[tuple[float, float]], cost: float | None) -> float | None:
    known = sorted((math.log(x), y) for x, y in line)
    if len(known) < 2 or cost is None:
        return None
    at = math.log(cost)
    if not known[0][0] + math.log(1 - _BEYOND) <= at <= known[-1][0] + math.log(1 + _BEYOND):
        return None
    at = min(max(at, known[0][0]), known[-1][0])
    for (left, low), (right, high) in pairwise(known):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left) if right > left else low
    return known[-1][1]


def _mean_entry(values: Mapping[str, float], names: Sequence[str], show: Callable[[float], str]) -> Entry:
    known = [values[name] for name in names if name in values]
    return Entry(text=show(fmean(known)), detail=f"{len(known)} of {len(names)}") if known else missing()


def _data(
    network: SeriesNetwork, accuracy: list[SameCost], slower: list[tuple[Cost, dict[str, float]]]
) -> dict[str, object]:
    line: dict[str, object] = {"network": network.name, "line": network.line}
    line |= {f"top1_minus_resnet_at_same_{found.cost.key}": found.differences.get(network.name) for found in accuracy}
    line |= {f"{cost.key}_ms_over_resnet_at_same_flops": ratios.get(network.name) for cost, ratios in slower}
    return line
