"""Where and how a comparison was made, in print."""

from __future__ import annotations

from resnexus.benchmark.engines import ENGINES
from resnexus.report.printing import counted, listed, number, percent
from resnexus.report.record import Comparison


def facts(comparison: Comparison) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (term, value) for data, machine, versions, settings, and what ran the networks."""
    environment = comparison.environment
    memory = "unknown" if environment.memory_gib is None else f"{number(environment.memory_gib, 1)} GiB"
    engines = dict.fromkeys(cell.engine for cell in (*comparison.latency, *comparison.series_latency))
    return {
        "Data": [
            ("Name", comparison.data),
            ("Classes", number(comparison.classes, 0)),
            ("Chance, the largest class", f"{percent(comparison.chance)} %"),
            ("Training images", number(comparison.train_images, 0)),
            ("Validation images", number(comparison.val_images, 0)),
            *([("Split", comparison.split)] if comparison.split else []),
            *([("Ignored files", number(len(comparison.ignored), 0))] if comparison.ignored else []),
        ],
        "Machine": [
            ("Processor", environment.cpu),
            ("Cores", number(environment.cores, 0)),
            ("Threads of PyTorch", number(environment.threads, 0)),
            ("Memory", memory),
            ("GPU", environment.gpu or "none"),
            ("System", environment.system),
        ],
        "Versions": [("Python", environment.python), *sorted(environment.packages.items())],
        "Settings": [(name.replace("_", " "), _setting(value)) for name, value in comparison.settings.items()],
        "Engines": [(name, ENGINES[name].what) for name in engines if name in ENGINES],
    }


def summary(comparison: Comparison) -> list[str]:
    """Return what was measured, on what, and when, in a few sentences."""
    environment = comparison.environment
    gpu = f"GPU {environment.gpu}" if environment.gpu else "no GPU"
    packages = f"Python {environment.python}"
    if "torch" in environment.packages:
        packages += f", PyTorch {environment.packages['torch']}"
    return [
        f"Data: {comparison.data}, {number(comparison.classes, 0)} classes, {number(comparison.train_images, 0)} "
        f"training and {number(comparison.val_images, 0)} validation images.",
        f"Machine: {environment.cpu}, {counted(environment.cores, 'core')}, {gpu}; {packages}.",
        f"Measured: {date(comparison)}.",
    ]


def date(comparison: Comparison) -> str:
    """Return when it was measured, e.g. `2025-06-01 12:00:00 UTC`."""
    return comparison.environment.date.replace("T", " ").replace("+00:00", " UTC")


def quick_note(comparison: Comparison) -> str:
    """Say which networks of the series were timed here, and whether it was the quick mode; empty for all of them."""
    networks = {network.architecture for network in comparison.series}
    timed = list(dict.fromkeys(cell.model for cell in comparison.series_latency))
    if not timed:
        return "The series was not timed on this machine." if networks else ""
    mode = "Quick mode: " if comparison.quick else ""
    if set(timed) >= networks:
        return f"{mode}all {len(networks)} networks were timed here, with few repeats." if comparison.quick else ""
    few = ", with few repeats" if comparison.quick else ""
    return f"{mode}{len(timed)} of {counted(len(networks), 'network')} were timed here{few}: {listed(timed)}."


def repeats(comparison: Comparison) -> str:
    """Say how many calls stand behind a latency; empty if nothing was timed."""
    found = sorted({cell.repeats for cell in (*comparison.latency, *comparison.series_latency)})
    if not found:
        return ""
    return counted(found[0], "timed call") if len(found) == 1 else f"{found[0]:,} to {found[-1]:,} timed calls"


def _setting(value: str | int | float | bool | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
