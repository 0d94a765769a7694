"""`resnexus distill`: a better network from pictures without labels, one step after the other or all in one."""

from __future__ import annotations

import typer

from resnexus.cli.distill import dedupe, finetune, fixres, mine, run, score, train

app = typer.Typer(
    help="A better network from pictures without labels: each step alone, or all of them in one run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for name, step, summary in (
    ("score", score.score, "A teacher once over a pool of pictures."),
    ("dedupe", dedupe.dedupe, "Copies of your own pictures in a pool."),
    ("mine", mine.mine, "Which pictures of a pool to learn from."),
    ("train", train.train, "A student on a teacher's answers."),
    ("finetune", finetune.finetune, "The student on labelled pictures."),
    ("fixres", fixres.fixres, "The student at larger sizes."),
    ("run", run.run, "All steps, and the page."),
):
    app.command(name, short_help=summary)(step)
