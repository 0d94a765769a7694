"""The recipes that ship: one for each published checkpoint, named as it is, and others beside them."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from resnexus.errors import ResnexusError, printable, unknown
from resnexus.training.recipe import SECTIONS, SETTINGS, Recipe

_FOLDER = "recipes"


def recipes() -> list[str]:
    """Return the names of the recipes that ship, sorted."""
    folder = files("resnexus.series") / _FOLDER
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def find_recipe(name_or_file: str | os.PathLike[str]) -> Recipe:
    """Return a recipe that ships, by name (upper and lower case are the same), or one of your own from a file.

    Args:
        name_or_file: a name of `recipes()`; or a path object, or a string with a folder or the suffix `.yaml` or
            `.yml`. A file holds what differs from the defaults of `Recipe`, by section or not.

    Raises:
        ResnexusError: no such recipe or file, an unknown setting, or a value that it does not take.
    """
    if isinstance(name_or_file, os.PathLike) or _is_file_name(name_or_file):
        path = Path(name_or_file)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ResnexusError(f"cannot read the recipe {printable(path)}: {reason}") from error
        return parse_recipe(text, where=printable(path))
    known = {name.lower(): name for name in recipes()}
    if name_or_file.lower() not in known:
        raise unknown("recipe", name_or_file, known.values(), see="resnexus train --list-recipes")
    name = known[name_or_file.lower()]
    return parse_recipe((files("resnexus.series") / _FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), where=name)


def parse_recipe(text: str, where: str) -> Recipe:
    """Return the recipe that YAML text describes; `where` is what the text is, for messages; errors as above."""
    try:
        content = yaml.load(text, Loader=_Loader) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: of 2020-13-45, or of 5000 digits
        reason = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise ResnexusError(f"{where} is not YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ResnexusError(f"{where}: expected settings and their values, found {type(content).__name__}")
    try:
        return Recipe().changed({str(name): value for name, value in content.items()})
    except ResnexusError as error:
        raise ResnexusError(f"{where}: {error}") from error


def parse_changes(texts: list[str]) -> dict[str, Any]:
    """Return the changes of a recipe that `NAME=VALUE` texts ask for.

    Raises:
        ResnexusError: as for `parse_values`, or an unknown setting.
    """
    changes = parse_values(texts)
    for name in changes:
        if name.rpartition(".")[2] not in SETTINGS and name not in SECTIONS:
            raise unknown("setting of a recipe", name, SETTINGS, see="resnexus train --print-recipe")
    return changes


def parse_values(texts: list[str]) -> dict[str, Any]:
    """Return what `NAME=VALUE` texts say; values are YAML, so that numbers are numbers.

    Raises:
        ResnexusError: a text without an equals sign, or whose value is no YAML.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ResnexusError(f"{text!r}: expected NAME=VALUE, such as lr=0.05")
        try:
            values[name] = yaml.load(value, Loader=_Loader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise ResnexusError(f"{text!r}: {value!r} is no value") from error
    return values


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number, as YAML 1.2 does; PyYAML, which keeps to 1.1, wants 1.0e-4."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)


def _is_file_name(text: str) -> bool:
    return text.endswith((".yaml", ".yml")) or os.sep in text or (os.altsep is not None and os.altsep in text)
