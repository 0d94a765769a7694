"""What docs/speed.md says of GPUs: written from the records of `gpu_bench` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnexus.benchmark.bench import Bench
from resnexus.records import read_json
from resnexus.report.printing import counted
from resnexus.report.speed import against_peers, how, latency_table, machine, places, title
from resnexus.report.table import Column, Entry, Table, to_markdown
from studies.gpu_record import Checks
from studies.gpu_targets import targets

BENCH, CHECKS = "bench_gpu_", "checks_gpu_"
"""How the names of the two records of a run begin; the same follows in both."""

Measured = tuple[Bench, Checks]


def read_records(folder: Path) -> list[Measured]:
    """Return the records of all runs in a folder, in the order of their names."""
    return [
        (read_json(Bench, path), read_json(Checks, path.with_name(CHECKS + path.name.removeprefix(BENCH))))
        for path in sorted(folder.glob(f"{BENCH}*.json"))
    ]


def gpu_section(found: Sequence[Measured]) -> str:
    """Return what every run found, or that there was none."""
    return "\n\n".join(_run(*run) for run in found) or "Not measured: no GPU was at hand."


def _run(bench: Bench, checks: Checks) -> str:
    wrong = [check for check in checks.steps if not check.holds]
    parts = [
        f"{machine(bench.environment)} {how(bench)}",
        f"{len(checks.steps) - len(wrong)} of {counted(len(checks.steps), 'step')} agree with float64.",
        to_markdown(_targets(bench, checks)).strip(),
    ]
    against = against_peers(bench.cells)
    parts += [to_markdown(against).strip()] if against else []
    for place in places(bench.cells):
        parts += [f"### {bench.environment.gpu or bench.environment.cpu}: {title(place)}"]
        parts += [to_markdown(latency_table(bench, place)).strip()]
    return "\n\n".join(parts)


def _targets(bench: Bench, checks: Checks) -> Table:
    rows = tuple(
        (
            Entry(text=target.what),
            Entry(text=f"{'at least' if target.least else 'at most'} {target.bound:g}"),
            Entry(text="" if target.found is None else f"{target.found:.3f}", detail=target.worst),
            Entry(text=target.over),
            Entry(text=target.verdict),
        )
        for target in targets(bench, checks)
    )
    return Table(
        name="gpu_targets",
        caption="What the engine for GPUs is to reach; ours is the faster of its kernels and the libraries alone.",
        columns=(
            Column(title="Target", text=True),
            Column(title="Bound", text=True),
            Column(title="Found"),
            Column(title="Over", text=True),
            Column(title="Verdict", text=True),
        ),
        rows=rows,
    )
