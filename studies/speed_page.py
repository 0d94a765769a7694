"""The documentation's pages about speed, written from records alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from resnexus.benchmark.bench import Bench
from resnexus.report.printing import counted, file_name, number
from resnexus.report.speed import (
    Place,
    against_peers,
    at,
    how,
    latency_table,
    left_out,
    machine,
    penalty_tables,
    places,
    title,
)
from resnexus.report.table import Column, Entry, Table, missing, to_markdown
from studies.engine_memory import EngineMemory
from studies.worth import WAYS, Worth, Worths


def sections(
    benches: Sequence[Bench],
    engines: Sequence[Bench],
    maps: Sequence[Bench],
    memory: Sequence[EngineMemory],
    worths: Sequence[Worths],
) -> dict[str, str]:
    """Return name of a section -> its Markdown.

    Args:
        benches: records of `resnexus bench`; the tables of each stand for themselves.
        engines: records with every engine, of few networks.
        maps: records of networks that return feature maps.
        memory: what engines take of it.
        worths: records of what rewrites are worth.
    """
    return {
        "summary": _summary(benches),
        "engines": _apart(engines),
        "maps": _apart(maps),
        "memory": "\n\n".join(_memory(record) for record in memory) or "Not measured.",
        "latency": "\n\n".join(_latency(bench) for bench in benches),
        "penalty": "\n\n".join(_penalty(bench) for bench in benches),
        "rewrites": "\n\n".join(_worth(record) for record in worths),
    }


def charts(bench: Bench) -> dict[str, str]:
    """Return file name -> SVG of the penalty charts; the name says on which processor."""
    from studies.penalty import penalty_chart

    found = {}
    for place in places(bench.cells):
        device, precision, batch_size = place
        processor = _processor(bench, device)
        chart = penalty_chart(bench.cells, place, processor)
        if chart is not None:
            found[f"{file_name('penalty', processor, precision, str(batch_size))}.svg"] = chart
    return found


def _processor(bench: Bench, device: str) -> str:
    """Return the name of what computed, by which tables and charts of several machines are told apart."""
    return (bench.environment.gpu if device == "cuda" else None) or bench.environment.cpu


def _summary(benches: Sequence[Bench]) -> str:
    """Compare ours with the best of the others in one table for all records, and say how each was measured."""
    conditions = "\n".join(f"- {_conditions(bench)}" for bench in benches)
    found = [(bench, table) for bench in benches if (table := against_peers(bench.cells)) is not None]
    if not found:
        return conditions
    rows = [(Entry(text=_processor(bench, row[0].text)), *row) for bench, table in found for row in table.rows]
    first = found[0][1]
    together = replace(first, columns=(Column(title="Processor", text=True), *first.columns), rows=tuple(rows))
    return f"{to_markdown(together).strip()}\n\n{conditions}"


def _apart(benches: Sequence[Bench]) -> str:
    """Return summary and tables of each record on its own."""
    return "\n\n".join(f"{_summary([bench])}\n\n{_latency(bench)}" for bench in benches) or "Not measured."


def _conditions(bench: Bench) -> str:
    models = counted(len({cell.model for cell in bench.cells}), "network")
    return f"{models}. {machine(bench.environment)} {how(bench)}"


def _latency(bench: Bench) -> str:
    parts = []
    for place in places(bench.cells):
        parts += [_heading(bench, place), to_markdown(latency_table(bench, place)).strip()]
    if bench.left_out:
        parts += ["Left out:", left_out(bench)]
    return "\n\n".join(parts)


def _penalty(bench: Bench) -> str:
    parts = []
    for place in places(bench.cells):
        for table in penalty_tables(at(bench.cells, place)):
            parts += [_heading(bench, place), to_markdown(table).strip()]
    return "\n\n".join(parts)


def _heading(bench: Bench, place: Place) -> str:
    models = counted(len({cell.model for cell in at(bench.cells, place)}), "network")
    side = bench.settings.image_size
    maps = f", maps of {side}x{side} pixels" if bench.settings.out_indices else ""
    return f"### {_processor(bench, place[0])}: {title(place)}, {models}{maps}"


def _memory(record: EngineMemory) -> str:
    """Return one row for each network, one column for each engine."""
    found = {(entry.model, entry.engine): entry for entry in record.footprints}
    models, engines = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    rows = []
    for model in models:
        weights = next(entry.weights_mib for entry in record.footprints if entry.model == model)
        cells = [
            Entry(text=f"{entry.resident_mib:,.0f}", detail=f"{entry.peak_mib:,.0f}") if entry else missing()
            for entry in (found.get((model, engine)) for engine in engines)
        ]
        rows.append((Entry(text=model), Entry(text=f"{weights:,.0f}"), *cells))
    table = Table(
        name=f"memory_{record.case}",
        caption=f"MiB that a process grows by with an engine, batch {record.batch_size}; in brackets at most, while it "
        "is opened or runs.",
        columns=(
            Column(title="Network", text=True),
            Column(title="weights in float32", unit="MiB"),
            *(Column(title=engine, unit="MiB") for engine in engines),
        ),
        rows=tuple(rows),
    )
    return f"`{record.case}`. {machine(record.environment)}\n\n{to_markdown(table).strip()}"


def _worth(record: Worths) -> str:
    sizes = list(dict.fromkeys(entry.batch_size for entry in record.worths))
    tables = (worth_table([entry for entry in record.worths if entry.batch_size == size], size) for size in sizes)
    return "\n\n".join([machine(record.environment), *(to_markdown(table).strip() for table in tables)])


def worth_table(worths: Iterable[Worth], batch_size: int) -> Table:
    """Return one row for each rewrite, one column for each back end and precision."""
    found = {(entry.rewrite, entry.backend, entry.precision): entry for entry in worths}
    models = {entry.rewrite: entry.model for entry in found.values()}
    ways = [way for way in WAYS if any(key[1:] == way for key in found)]
    rows = [
        (Entry(text=name), Entry(text=model), *(_ratio(found.get((name, *way))) for way in ways))
        for name, model in models.items()
    ]
    return Table(
        name=f"rewrites_{batch_size}",
        caption=f"Time with a rewrite over the time without it, batch {batch_size}; below 1 it pays.",
        columns=(
            Column(title="Rewrite", text=True),
            Column(title="Network", text=True),
            *(Column(title=" ".join(way)) for way in ways),
        ),
        rows=tuple(rows),
    )


def _ratio(entry: Worth | None) -> Entry:
    if entry is None:
        return missing()
    ratio = entry.ratio
    return Entry(text=number(ratio.median, 3), detail=f"{number(ratio.low, 3)}–{number(ratio.high, 3)}")
