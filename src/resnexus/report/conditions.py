"""Where and how a comparison was made, in print."""

from __future__ import annotations

from collections.abc import Mapping

from resnexus.benchmark.engines import ENGINES
from resnexus.benchmark.environment import Environment
from resnexus.report.printing import counted, listed, number, percent
from resnexus.report.record import Comparison


def facts(comparison: Comparison) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (term, value) for data, machine, versions, settings, and what ran the networks."""
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
        **machine_facts(comparison.environment),
        "Settings": settings_facts(comparison.settings),
        "Engines": [(name, ENGINES[name].what) for name in engines if name in ENGINES],
    }


def machine_facts(environment: Environment) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (term, value) for machine and versions."""
    memory = "unknown" if environment.memory_gib is None else f"{number(environment.memory_gib, 1)} GiB"
    return {
        "Machine": [
            ("Processor", environment.cpu),
            ("Cores", number(environment.cores, 0)),
            ("Threads of PyTorch", number(environment.threads, 0)),
            ("Memory", memory),
            ("GPU", environment.gpu or "none"),
            ("System", environment.system),
        ],
        "Versions": [("Python", environment.python), *sorted(environment.packages.items())],
    }


def settings_facts(settings: Mapping[str, str | int | float | bool | None]) -> list[tuple[str, str]]:
    """Return the settings of the trainings as terms and values."""
    return [(name.replace("_", " "), _setting(value)) for name, value in settings.items()]


def summary(comparison: Comparison) -> list[str]:
    """Return what was measured, on what, and when, in a few sentences."""
    return [
        f"Data: {comparison.data}, {number(comparison.classes, 0)} classes, {number(comparison.train_images, 0)} "
        f"training and {number(comparison.val_images, 0)} validation images.",
        *where_and_when(comparison.environment),
    ]


def where_and_when(environment: Environment) -> list[str]:
    """Return on what and when it was measured, in two sentences."""
    gpu = f"GPU {environment.gpu}" if environment.gpu else "no GPU"
    packages = f"Python {environment.python}"
    if "torch" in environment.packages:
        packages += f", PyTorch {environment.packages['torch']}"
    return [
        f"Machine: {environment.cpu}, {counted(environment.cores, 'core')}, {gpu}; {packages}.",
        f"Measured: {date(environment)}.",
    ]


def date(environment: Environment) -> str:
    """Return when it was measured, e.g. `2025-06-01 12:00:00 UTC`."""
    return environment.date.replace("T", " ").replace("+00:00", " UTC")


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
