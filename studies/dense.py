"""What `compare --task segmentation` and `--task detection` found with the small siblings, from the records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from resnexus.records import read_json
from resnexus.report.dense.findings import findings, score_table
from resnexus.report.dense.record import DenseComparison
from resnexus.report.table import to_markdown

RECORDS = sorted((Path(__file__).parents[1] / "results").glob("compare_*_cpu_*.json"), reverse=True)


def section() -> str:
    """Return one table and its findings for each record, as Markdown, without the seconds of training.

    The trainings of these records took turns with other work, so that their times are of no use.
    """
    parts = []
    for path in RECORDS:
        comparison = read_json(DenseComparison, path)
        table = score_table(comparison)
        shown = replace(table, columns=table.columns[:-1], rows=tuple(row[:-1] for row in table.rows))
        parts.append(f"{to_markdown(shown)}\n{' '.join(findings(comparison))}\n")
    return "\n".join(parts)
