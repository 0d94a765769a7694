"""The commands of `resnexus`, put together."""

from __future__ import annotations

import typer

from resnexus.cli import (
    bench,
    compare,
    convert,
    distill,
    evaluate,
    export,
    fetch,
    info,
    list_models,
    manifest,
    optimize,
    predict,
    quantize,
    shard,
    train,
    verify,
)
from resnexus.version import __version__

app = typer.Typer(
    help="ResNeXt, SENet and Res2Net for PyTorch: look up, compare, time and train the networks of the series.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for name, run, summary in (
    ("list", list_models.list_models, "Networks: accuracy, cost, latency."),
    ("info", info.info, "One network, and what was published wrongly of it."),
    ("compare", compare.compare, "Networks on your data: the page, anew."),
    ("train", train.train, "A network on your images, by a recipe."),
    ("evaluate", evaluate.evaluate, "A network on labelled images, from all sides."),
    ("predict", predict.predict, "Pictures to records, one or a hundred million."),
    ("manifest", manifest.manifest, "A list of images of any length, to predict."),
    ("export", export.export, "A network as a file that runs without it."),
    ("quantize", quantize.quantize, "A network in int8, its loss within bounds."),
    ("shard", shard.shard, "Images as tar shards."),
    ("bench", bench.bench, "Networks in every engine: how fast."),
    ("fetch", fetch.fetch, "Published weights to this machine."),
    ("convert", convert.convert, "Weights of one kind to another."),
    ("verify", verify.verify, "Does it compute what the original does?"),
    ("optimize", optimize.optimize, "The fastest form of a network, here."),
):
    app.command(name, short_help=summary)(run)
app.add_typer(distill.app, name="distill", short_help="A better network from pictures without labels.")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"resnexus {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None: ...
