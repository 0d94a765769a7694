"""The documentation's page about speed, written from records alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnexus.benchmark.bench import Bench
from resnexus.benchmark.worth import WAYS, Worth, Worths
from resnexus.report.printing import counted, number
from resnexus.report.speed import (
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


def sections(benches: Sequence[Bench], compilers: Sequence[Bench], worths: Sequence[Worths]) -> dict[str, str]:
    """Return name of a section -> its Markdown.

    Args:
        benches: records of `resnexus bench`; the tables of each stand for themselves.
        compilers: records with the engines that compile for minutes, of fewer networks.
        worths: records of what rewrites are worth.
    """
    return {
        "summary": "\n\n".join(_summary(bench) for bench in benches),
        "compilers": "\n\n".join(f"{_conditions(bench)}\n\n{_latency(bench)}" for bench in compilers)
        or "Not measured.",
        "latency": "\n\n".join(_latency(bench) for bench in benches),
        "penalty": "\n\n".join(
            to_markdown(table).strip() for bench in benches for table in penalty_tables(bench.cells)
        ),
        "rewrites": "\n\n".join(_worth(record) for record in worths),
    }


def charts(bench: Bench) -> dict[str, str]:
    """Return file name -> SVG of the penalty charts."""
    from resnexus.report.penalty import penalty_chart

    found = {}
    for place in places(bench.cells):
        chart = penalty_chart(bench.cells, place)
        if chart is not None:
            found["penalty_" + "_".join(map(str, place)) + ".svg"] = chart
    return found


def _summary(bench: Bench) -> str:
    table = against_peers(bench.cells)
    return "\n\n".join([_conditions(bench), *([to_markdown(table).strip()] if table else [])])


def _conditions(bench: Bench) -> str:
    models = counted(len({cell.model for cell in bench.cells}), "network")
    return f"{models}. {machine(bench.environment)} {how(bench)}"


def _latency(bench: Bench) -> str:
    parts = []
    for place in places(bench.cells):
        heading = f"### {title(place)}, {counted(len({cell.model for cell in at(bench.cells, place)}), 'network')}"
        parts += [heading, to_markdown(latency_table(bench, place)).strip()]
    if bench.left_out:
        parts += ["Left out:", left_out(bench)]
    return "\n\n".join(parts)


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
