"""What the records support, in sentences: no claim that the spread does not carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from resnexus.benchmark.cell import Cell, is_unsteady
from resnexus.evaluation.metrics import PairedDifference, paired_interval
from resnexus.report.latencies import Setting, latencies
from resnexus.report.printing import counted, decimals_for, listed, number, percent, signed
from resnexus.report.record import Comparison, TrainedNetwork

BETTER, WORSE, NO_DIFFERENCE, UNKNOWN = "better", "worse", "no difference shown", "too few seeds"

ENOUGH_SEEDS = 3
"""From how many seeds on an interval is given: that of two is 25 times as wide as their half distance."""

_ONE_SIDED = 1.645
"""Standard deviations above the mean that a normal variable exceeds in one case of twenty."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A network's top-1, or another figure, minus the reference's, paired by seed, fractions.

    Attributes:
        mean: of the pairs.
        interval: the same with its 95 % interval; None for fewer than `ENOUGH_SEEDS` pairs.
        pairs: seeds that both networks have.
    """

    mean: float
    interval: PairedDifference | None
    pairs: int

    @property
    def finding(self) -> str:
        """`BETTER`, `WORSE`, `NO_DIFFERENCE` (the interval holds 0, or all pairs are equal) or `UNKNOWN`."""
        if self.interval is None:
            return UNKNOWN
        if not self.interval.differs:
            return NO_DIFFERENCE
        return BETTER if self.mean > 0 else WORSE

    @property
    def range(self) -> str:
        """The interval in points, within the 100 that there are, e.g. `+0.10 to +0.74`; empty if there is none."""
        if self.interval is None:
            return ""
        low, high = max(-1, self.mean - self.interval.half_width), min(1, self.mean + self.interval.half_width)
        return f"{signed(100 * low, 2)} to {signed(100 * high, 2)}" if high > low else "equal in every seed"


def reference(comparison: Comparison) -> TrainedNetwork | None:
    """Return the network that the others are compared with: the first trained ResNet, or None."""
    return next((network for network in comparison.networks if network.family == "ResNet" and network.runs), None)


def difference(network: TrainedNetwork, other: TrainedNetwork | None) -> Difference | None:
    """Return the paired difference in top-1 from `other`; None for itself or without a common seed."""
    if other is None or other is network:
        return None
    return paired({run.seed: run.top1 for run in network.runs}, {run.seed: run.top1 for run in other.runs})


def paired(values: Mapping[int, float], others: Mapping[int, float]) -> Difference | None:
    """Return the difference of two networks in a figure, seed -> fraction; None without a common seed."""
    pairs = [(value, others[seed]) for seed, value in values.items() if seed in others]
    if not pairs:
        return None
    first, second = zip(*pairs, strict=True)
    mean = fmean(a - b for a, b in pairs)
    interval = paired_interval(first, second) if len(pairs) >= ENOUGH_SEEDS else None
    return Difference(mean=mean, interval=interval, pairs=len(pairs))


def is_at_chance(comparison: Comparison, network: TrainedNetwork) -> bool:
    """Whether the mean top-1 is not above that of always naming the largest class, as far as the images can show.

    Above means: by more than a guesser on as many images exceeds in one case of twenty, in the normal approximation.
    """
    images = min(run.images for run in network.runs)
    spread = (comparison.chance * (1 - comparison.chance) / max(1, images)) ** 0.5
    return network.mean_top1 <= comparison.chance + _ONE_SIDED * spread


def findings(comparison: Comparison) -> list[str]:
    """Return the verdict on the user's data, a sentence each."""
    trained = [network for network in comparison.networks if network.runs]
    if not trained:
        return ["No network was trained."]
    found = [_training(comparison, trained), *_best(comparison, trained), *_busy(comparison)]
    other = reference(comparison)
    if other is None:
        found.append("No ResNet was trained, so there is nothing to compare with.")
    else:
        found += _against(trained, other)
        found += _speed(comparison, trained, other)
    return found


def caution(comparison: Comparison) -> str:
    """Return what the intervals cover and what they do not; empty if there are none."""
    trained = [network for network in comparison.networks if network.runs]
    other = reference(comparison)
    if other is None or len(trained) < 2:
        return ""
    images = max(run.images for network in trained for run in network.runs)
    if not any(found and found.interval for found in (difference(network, other) for network in trained)):
        one = percent(1 / max(1, images))
        return f"Accuracies are measured on {counted(images, 'validation image')}, of which one is {one} points."
    return (
        "Differences are paired by seed, with a 95 % interval from Student's t, each for one comparison alone. "
        "The interval covers the seeds: initial weights, order and augmentation. It does not cover the choice of the "
        f"{counted(images, 'validation image')}, of which one is {percent(1 / max(1, images))} points."
    )


def skipped(comparison: Comparison) -> list[str]:
    """Return the validation images that could not be read, with their reasons, each once."""
    found = (entry for network in comparison.networks for run in network.runs for entry in run.skipped)
    return list(dict.fromkeys(found))


def skipped_in_training(comparison: Comparison) -> list[str]:
    """Return the training images that could not be read, with their reasons, each once."""
    found = (entry for network in comparison.networks for run in network.runs for entry in run.skipped_in_training)
    return list(dict.fromkeys(found))


def _best(comparison: Comparison, trained: list[TrainedNetwork]) -> list[str]:
    guessing = [network for network in trained if is_at_chance(comparison, network)]
    best = max(trained, key=lambda network: network.mean_top1)
    found = []
    if best not in guessing:
        equal = [network.name for network in trained if network.mean_top1 == best.mean_top1]
        verb = "has" if len(equal) == 1 else "have"
        found.append(f"{listed(equal)} {verb} the highest mean top-1, {_top1(best)} %.")
    if guessing:
        names = listed(f"{network.name} ({_top1(network)} %)" for network in guessing)
        found.append(
            f"At chance, which is {percent(comparison.chance)} % (always naming the largest class): {names}. "
            "Train longer, with more images or from published weights."
        )
    return found


def _busy(comparison: Comparison) -> list[str]:
    cells = (*comparison.latency, *comparison.series_latency)
    unsteady = sum(map(is_unsteady, cells))
    if not unsteady:
        return []
    return [
        f"The machine was busy while {unsteady} of {counted(len(cells), 'latency', 'latencies')} were measured: they "
        "are marked and say little. Measure again on a quiet machine."
    ]


def _training(comparison: Comparison, trained: list[TrainedNetwork]) -> str:
    seeds = sorted({len(network.runs) for network in trained})
    times = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    often = "once" if seeds == [1] else f"{times} times (other seeds, same settings)"
    flops = [network.gflops for network in trained]
    cost = ""
    if len(trained) > 1:
        apart = 100 * (max(flops) / min(flops) - 1)
        cost = f" The largest has {number(apart, 1)} % more FLOPs than the smallest."
    return (
        f"{counted(len(trained), 'network')}, each trained {often} on "
        f"{counted(comparison.train_images, 'image')} of {comparison.data}.{cost}"
    )


def _against(trained: list[TrainedNetwork], other: TrainedNetwork) -> list[str]:
    found = {network.name: difference(network, other) for network in trained}
    return verdicts({name: one for name, one in found.items() if one is not None}, other.name, "accuracy")


def verdicts(differences: Mapping[str, Difference], other: str, figure: str) -> list[str]:
    """Return what the differences of networks from `other` in a figure support, a sentence for each finding."""
    groups: dict[str, list[str]] = {BETTER: [], WORSE: [], NO_DIFFERENCE: [], UNKNOWN: []}
    for name, found in differences.items():
        interval = f", {found.range}" if found.range else ""
        groups[found.finding].append(f"{name} ({signed(100 * found.mean, 2)} points{interval})")
    if not differences:
        return [f"Nothing can be compared with {other}: no other network has the same seeds."]
    fewest = min(found.pairs for found in differences.values())
    sentences = []
    if groups[UNKNOWN]:
        sentences.append(
            f"Too few seeds, {fewest} instead of at least {ENOUGH_SEEDS}: the spread is unknown, so no difference "
            f"in {figure} is claimed."
        )
    for finding in (BETTER, WORSE):
        if groups[finding]:
            sentences.append(f"{finding.capitalize()} than {other}: {listed(groups[finding])}.")
    if groups[NO_DIFFERENCE]:
        names = listed(groups[NO_DIFFERENCE])
        sentences.append(f"No difference from {other} that {counted(fewest, 'seed')} can show: {names}.")
    return sentences


def _speed(comparison: Comparison, trained: list[TrainedNetwork], other: TrainedNetwork) -> list[str]:
    found = latencies(comparison.latency)
    sentences = []
    for setting in found.settings:
        for batch_size in found.batch_sizes(setting)[:1]:
            cells = found.cells[setting][batch_size]
            timed = [cells[network.name] for network in trained if network.name in cells and network is not other]
            if other.name in cells and timed:
                sentences.append(_speed_sentence(setting, cells[other.name], timed))
    return sentences


def _speed_sentence(setting: Setting, other: Cell, timed: Sequence[Cell]) -> str:
    slower, faster, alike = [], [], []
    for cell in timed:
        times = f"{cell.model} ({number(cell.median_ms / other.median_ms, 2)} times as long)"
        if cell.p10_ms > other.p90_ms:
            slower.append(times)
        elif cell.p90_ms < other.p10_ms:
            faster.append(times)
        else:
            alike.append(times)
    named = (("Slower", slower), ("Faster", faster), ("No clear difference", alike))
    parts = " ".join(f"{what}: {listed(names)}." for what, names in named if names)
    median = number(other.median_ms, decimals_for([other.median_ms]))
    return f"At batch {other.batch_size} ({setting.title}) {other.model} takes {median} ms. {parts}"


def _top1(network: TrainedNetwork) -> str:
    return percent(network.mean_top1)
