"""Read beside each other, the commands call one thing by one name, and explain it alike."""

from inspect import unwrap
from typing import get_args, get_type_hints

import pytest
import typer

from resnexus.cli import app

EXPLAINED = {
    "--allow-bad-images": 1,
    "--architecture": 2,  # of `convert`, which takes it for certainty too
    "--batch-size": 3,  # views are no images, and accuracy is not all that int8 measures
    "--data": 3,  # of `compare`, whose other tasks take other data, and of `quantize`, whose classes are given
    "--device": 3,  # where there is one current GPU, and where training is elsewhere
    "--engine": 1,
    "--features": 1,
    "--image-size": 5,  # whose own it is
    "--json": 1,
    "--labels": 1,
    "--manifest": 1,
    "--memory-limit": 1,
    "--multi-label": 1,
    "--precision": 3,  # fp16 is for one engine, or one device
    "--private-addresses": 1,
    "--recipe": 1,
    "--set": 2,  # of a recipe, and of views
    "--threads": 1,
    "--time-limit": 1,
    "--weights": 4,  # what is run, what a training begins with, what fits several networks, and what was exported
    "--workers": 4,  # what is left out where
}
"""Option of several commands -> how many texts it has at most."""

TAKES = {
    "--format": {"STR", "openvino|onnx|pt2"},
    "--device": {"auto|cpu|gpu|cuda:N", "auto|cpu|gpu"},
    "--devices": {"STR", "COUNT"},
    "--heatmap": {"PATH", None},
    "--model": {"NETWORK", "MODEL|FILE"},
    "--size": {"STR", "INT"},
    "--sizes": {"STR", "fixed|multiples-of-32"},
    "--teacher": {"NETWORK[:TAG]|FILE", "FILE"},
    "--weights": {"TAG|FILE|random", "FILE"},
}
"""Option -> what commands say that it takes, None for nothing, where they differ for a reason."""


def commands(group, words=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


@pytest.fixture(scope="module")
def options():
    """Option -> command -> its parameter."""
    found = {}
    for name, command in commands(typer.main.get_command(app)):
        for parameter in command.params:
            if parameter.opts[0].startswith("--"):
                found.setdefault(parameter.opts[0], {})[name] = parameter
    return found


def takes(command, parameter):
    """What a user reads of it, or the type where nothing else is said; None for a flag."""
    kind = get_type_hints(unwrap(command.callback))[parameter.name]
    kind = next((one for one in get_args(kind) if one is not type(None)), kind)
    return None if getattr(parameter, "is_flag", False) else parameter.metavar or kind.__name__.upper()


def test_one_option_takes_one_thing():
    found = {}
    for _, command in commands(typer.main.get_command(app)):
        for parameter in command.params:
            if parameter.opts[0].startswith("--"):
                found.setdefault(parameter.opts[0], set()).add(takes(command, parameter))
    assert {option: taken for option, taken in found.items() if len(taken) > 1} == TAKES


@pytest.mark.parametrize("option", EXPLAINED)
def test_one_option_has_one_text(options, option):
    texts = {parameter.help for parameter in options[option].values()}
    assert len(options[option]) > 1
    assert len(texts) <= EXPLAINED[option], texts


def test_every_option_is_a_sentence(options):
    for option, by_command in options.items():
        for name, parameter in by_command.items():
            text = parameter.help.partition("  [default")[0]
            assert text.endswith("."), (name, option)
            assert not text.startswith("Of "), (name, option)
            assert not text.endswith("the recipe's."), (name, option)


def test_arguments_are_called_in_capitals():
    for name, command in commands(typer.main.get_command(app)):
        for parameter in command.params:
            if not parameter.opts[0].startswith("--"):
                assert (parameter.metavar or "").isupper(), (name, parameter.name)
