"""What a benchmark says: latency in every engine, ours against the best of the others, and the floor beneath."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from resnexus.architectures.catalog import NETWORKS
from resnexus.architectures.complexity import complexity
from resnexus.benchmark.bench import SETTLE_S, Bench, BenchSettings
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.peaks import Peak, floor_ms
from resnexus.benchmark.ratios import Ratio, best_peer, geometric_mean, ratio_of
from resnexus.report.latencies import latency_entry
from resnexus.report.printing import counted, decimals_for, listed, number
from resnexus.report.table import Column, Entry, Footnotes, Table, missing, to_markdown

BASELINE = "ResNet50_vd"
"""The network that penalties are relative to."""

PLAIN = "eager"
"""The engine that stands for PyTorch as everybody runs it."""

Place = tuple[str, str, int]


def page(bench: Bench) -> str:
    """Return everything a benchmark says, as Markdown.

    What needs the cost of a network, floor and penalty, is left out for a row of your own: a record has names alone.
    """
    parts = ["# Latency", machine(bench.environment), how(bench)]
    against = against_peers(bench.cells)
    parts += [to_markdown(against)] if against else []
    for place in places(bench.cells):
        parts.append(f"## {title(place)}")
        parts.append(to_markdown(latency_table(bench, place)))
    penalty = penalty_tables(bench.cells)
    if penalty:
        parts += ["## Milliseconds per GFLOP", *map(to_markdown, penalty)]
    if bench.left_out:
        parts.append("## Left out")
        parts.append(left_out(bench))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def summary(bench: Bench) -> str:
    """Return in a few lines how our engine compares with the best of the others."""
    table = against_peers(bench.cells)
    if table is None:
        return f"{counted(len(bench.cells), 'cell')} measured"
    return "\n".join(
        f"{row[0].text}, {row[1].text}, batch {row[2].text}: resnexus takes {row[4].text} of the time of the best fp32 "
        f"engine and {row[6].text} of the best in {row[1].text} (geometric mean, {row[3].text} networks)"
        for row in table.rows
    )


def machine(environment: Environment) -> str:
    """Return where it was measured, in one sentence."""
    gpu = f", {environment.gpu}" if environment.gpu else ""
    packages = listed(f"{name} {version}" for name, version in environment.packages.items())
    return (
        f"Measured {environment.date.replace('T', ' ').replace('+00:00', ' UTC')} on {environment.cpu}, "
        f"{counted(environment.cores, 'core')}{gpu}, {environment.system}, Python {environment.python}, {packages}."
    )


def how(bench: Bench) -> str:
    """Return how it was measured, and what the machine itself can do."""
    settings = bench.settings
    peaks = f" Peaks: {listed(_peak(found) for found in bench.peaks)}." if bench.peaks else ""
    networks = "a network" if settings.together == 1 else f"{settings.together} networks"
    return (
        f"{settings.image_size}x{settings.image_size} pixels, {_what(settings)}{counted(settings.threads, 'thread')}, "
        f"weights from the formula of the golden logits. All engines and precisions of {networks} and batch size took "
        f"turns in {counted(settings.rounds, 'round')}, one timed call in each after {_settling(settings.settle_s)}; a "
        f"figure is the median, the range below it the tenth to ninetieth percentile. Images and "
        f"{'maps' if settings.out_indices else 'logits'} are contiguous float32 on the device.{peaks}"
    )


def _what(settings: BenchSettings) -> str:
    """Return what is not said of logits at the rows' own output strides, with a comma behind each."""
    stride = "" if settings.output_stride is None else f"output stride {settings.output_stride}, "
    numbers = ", ".join(map(str, settings.out_indices))
    return (f"feature maps {numbers}, " if numbers else "") + stride


def _settling(seconds: float) -> str:
    if seconds == 0:
        return "an untimed one"
    span = "a quarter of a second" if seconds == SETTLE_S else f"{seconds:g} s"
    return f"{span} of untimed ones, or a pause as long where one takes longer"


def _peak(found: Peak) -> str:
    speed = "no product of PyTorch" if found.tflops is None else f"{1e3 * found.tflops:,.0f} GFLOP/s in a product"
    return f"{found.device} {found.precision} {speed}, {found.gbytes_s:.1f} GB/s in a copy"


def places(cells: Iterable[Cell]) -> list[Place]:
    """Return the devices, precisions and batch sizes there are, in the order of the records."""
    return list(dict.fromkeys((cell.device, cell.precision, cell.batch_size) for cell in cells))


def title(place: Place) -> str:
    """Return a place in print."""
    device, precision, batch_size = place
    return f"{device}, {precision}, batch {batch_size}"


def at(cells: Iterable[Cell], place: Place) -> list[Cell]:
    """Return the cells of one device, precision and batch size."""
    return [cell for cell in cells if (cell.device, cell.precision, cell.batch_size) == place]


def latency_table(bench: Bench, place: Place) -> Table:
    """Return one row for each network: all engines, ours over the best of the others, and over the floor."""
    cells = at(bench.cells, place)
    engines = list(dict.fromkeys(cell.engine for cell in cells))
    found = {(cell.model, cell.engine): cell for cell in cells}
    models = list(dict.fromkeys(cell.model for cell in cells))
    decimals = decimals_for(cell.median_ms for cell in cells)
    references = list(dict.fromkeys((place[1], "fp32"))) if OURS in engines else []
    columns = [Column(title="Network", text=True), *(Column(title=name, unit="ms") for name in engines)]
    columns += [Column(title=f"resnexus / best {precision} engine") for precision in references]
    columns.append(Column(title="fastest / floor"))
    rows, notes = [], Footnotes()
    for model in models:
        ours = found.get((model, OURS))
        row = [Entry(text=model), *(latency_entry(found.get((model, name)), decimals, notes) for name in engines)]
        row += [_against(bench.cells, ours, precision) for precision in references]
        row.append(_over_floor(bench, [found[model, name] for name in engines if (model, name) in found]))
        rows.append(tuple(row))
    return Table(
        name="bench_" + "_".join(map(str, place)),
        caption=f"Milliseconds per batch, {title(place)}.",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=notes.texts,
        remarks=(_agreement(cells), *_plans(cells)),
        data=tuple({name: value for name, value in asdict(cell).items() if name != "rounds_ms"} for cell in cells),
    )


def _against(cells: Sequence[Cell], ours: Cell | None, precision: str) -> Entry:
    peer = best_peer(cells, ours, precision) if ours else None
    if ours is None or peer is None:
        return missing()
    found = ratio_of(ours, peer)
    return Entry(text=number(found.median, 2), detail=f"{number(found.low, 2)}–{number(found.high, 2)}")


def _over_floor(bench: Bench, cells: Sequence[Cell]) -> Entry:
    fastest = min(cells, key=lambda cell: cell.median_ms)
    if fastest.model not in NETWORKS:
        return missing()
    peaks = [peak for peak in bench.peaks if (peak.device, peak.precision) == (fastest.device, fastest.precision)]
    size = (fastest.batch_size, fastest.image_size)
    floors = [floor_ms(fastest.model, peak, *size, **_returned(fastest)) for peak in peaks]
    if not floors or floors[0] is None:
        return missing()
    return Entry(text=number(fastest.median_ms / floors[0], 2), detail=fastest.engine)


def _returned(cell: Cell) -> dict[str, Any]:
    return {"output_stride": cell.output_stride, "out_indices": cell.out_indices or None}


def _agreement(cells: Sequence[Cell]) -> str:
    worst: dict[str, float] = {}
    cosines: dict[str, float] = {}
    for cell in cells:
        if cell.agreement is not None and cell.cosine is not None:
            worst[cell.engine] = max(worst.get(cell.engine, 0.0), cell.agreement)
            cosines[cell.engine] = min(cosines.get(cell.engine, 1.0), cell.cosine)
    figures = listed(f"{name} {worst[name]:.1e} (cosine {cosines[name]:.5f})" for name in worst)
    if not any(cell.out_indices for cell in cells):
        return f"Largest difference from the plain fp32 logits, over the largest of them: {figures}."
    maps = Counter(cell.worst_map for cell in cells if cell.worst_map is not None)
    worst_of = listed(f"map {index} ({counted(times, 'time')})" for index, times in maps.most_common())
    return (
        f"Largest difference from the plain fp32 maps, each over its own largest value: {figures}. The worst: "
        f"{worst_of}."
    )


def _plans(cells: Sequence[Cell]) -> list[str]:
    """Say what our engine ran, where the record has it: each plan with the number of networks, the commonest first."""
    plans = Counter(cell.plan for cell in cells if cell.plan is not None)
    if not plans:
        return []
    found = "; ".join(f"{plan} ({counted(networks, 'network')})" for plan, networks in plans.most_common())
    return [f"What {OURS} chose: {found}."]


def against_peers(cells: Sequence[Cell]) -> Table | None:
    """Return one row for each device, precision and batch size: ours over the best of the others, over all networks.

    None if our engine was not timed.
    """
    rows = []
    for place in places(cells):
        ours = [cell for cell in at(cells, place) if cell.engine == OURS]
        row: list[Entry] = [Entry(text=str(value)) for value in (*place, len(ours))]
        for precision in ("fp32", place[1]):
            found = ratios(cells, ours, precision)
            row += _mean_and_worst(found)
        if ours:
            rows.append(tuple(row))
    if not rows:
        return None
    return Table(
        name="bench_against_peers",
        caption="Time of resnexus over that of the best other engine: geometric mean and worst over the networks.",
        columns=(
            Column(title="Device", text=True),
            Column(title="Precision", text=True),
            Column(title="Batch"),
            Column(title="Networks"),
            Column(title="mean", group="over best fp32"),
            Column(title="worst", group="over best fp32"),
            Column(title="mean", group="over best in this precision"),
            Column(title="worst", group="over best in this precision"),
        ),
        rows=tuple(rows),
    )


def ratios(cells: Sequence[Cell], ours: Iterable[Cell], precision: str) -> dict[str, Ratio]:
    """Return network -> our time over that of the fastest other engine in a precision, where there is one."""
    pairs = ((cell, best_peer(cells, cell, precision)) for cell in ours)
    return {cell.model: ratio_of(cell, peer) for cell, peer in pairs if peer is not None}


def _mean_and_worst(found: dict[str, Ratio]) -> list[Entry]:
    if not found:
        return [missing(), missing()]
    worst = max(found, key=lambda model: found[model].median)
    mean = geometric_mean([ratio.median for ratio in found.values()])
    return [Entry(text=number(mean, 3)), Entry(text=number(found[worst].median, 3), detail=worst)]


def penalties(cells: Iterable[Cell], *, against: str | None = None) -> dict[tuple[str, str], float]:
    """Return (network, engine) -> milliseconds per GFLOP over those of the baseline; none for a row of your own.

    Args:
        cells: of one device, precision and batch size.
        against: the engine that runs the baseline; the one that runs the network if None.
    """
    per_gflop = {
        (cell.model, cell.engine): cell.median_ms
        / complexity(cell.model, image_size=cell.image_size, **_returned(cell)).gflops
        for cell in cells
        if cell.model in NETWORKS
    }
    return {
        (model, engine): value / per_gflop[BASELINE, against or engine]
        for (model, engine), value in per_gflop.items()
        if (BASELINE, against or engine) in per_gflop
    }


def penalty_tables(cells: Sequence[Cell]) -> list[Table]:
    """Return, per device, precision and batch size, the penalty of every network in every engine.

    The last column is what a user gains: our engine's time per FLOP over that of the baseline in plain PyTorch.
    """
    tables = []
    for place in places(cells):
        found = penalties(at(cells, place))
        if not found:
            continue
        against_plain = penalties(at(cells, place), against=PLAIN)
        gained = {model: ratio for (model, name), ratio in against_plain.items() if name == OURS}
        models, engines = (list(dict.fromkeys(key[index] for key in found)) for index in (0, 1))
        rows = []
        for model in models:
            of_model = [found.get((model, name)) for name in engines] + ([gained.get(model)] if gained else [])
            rows.append((Entry(text=model), *(Entry(text=number(ratio, 2)) for ratio in of_model)))
        last = [Column(title=f"{OURS} / {PLAIN} {BASELINE}")] if gained else []
        tables.append(
            Table(
                name="penalty_" + "_".join(map(str, place)),
                caption=f"Time per GFLOP over that of {BASELINE} in the same engine, {title(place)}.",
                columns=(Column(title="Network", text=True), *(Column(title=name) for name in engines), *last),
                rows=tuple(rows),
            )
        )
    return tables


def left_out(bench: Bench) -> str:
    """Return what was not timed and why, one line for each engine, precision and reason."""
    entries = sorted(bench.left_out, key=lambda entry: (entry.engine, entry.precision, entry.reason))
    lines = []
    for (engine, precision, reason), group in groupby(
        entries, key=lambda entry: (entry.engine, entry.precision, entry.reason)
    ):
        models = list(dict.fromkeys(entry.model for entry in group))
        every = set(models) == {cell.model for cell in bench.cells}
        lines.append(f"- {engine} in {precision}: {reason}" + ("" if every else f" ({listed(models)})"))
    return "\n".join(lines)
