"""`resnexus distill STEP`: from pictures without labels to a better network, one thin file per step."""

from __future__ import annotations

import typer

from resnexus.cli.distill import dedupe, mine, score

app = typer.Typer(
    help="From pictures without labels to a better network, by what a teacher says of them (SSLD).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for name, run, summary in (
    ("score", score.score, "A teacher once over a pool of pictures."),
    ("dedupe", dedupe.dedupe, "Near-duplicates of your own pictures in a pool."),
    ("mine", mine.mine, "Which pictures of a pool to learn from."),
):
    app.command(name, short_help=summary)(run)
