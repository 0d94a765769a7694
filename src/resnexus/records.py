"""Records on disk: dataclasses as JSON, written whole or not at all, and read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

from resnexus.errors import ResnexusError, printable, unknown
from resnexus.files import write_text

if TYPE_CHECKING:
    from cattrs import Converter

Record = TypeVar("Record")


class RecordError(ResnexusError):
    """A record that cannot be read; the message names the file, the place in it, and what was expected."""


def to_json(record: Any) -> str:
    """Return a record, or a dict or list of plain values, as JSON that UTF-8 can hold."""
    content = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    # A lone surrogate, as in a file name that is not UTF-8, becomes an escape, which JSON reads as what it was.
    return json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def write_json(record: Any, path: Path) -> None:
    """Write a record, or a dict or list of plain values, to `path`: whole or not at all.

    Raises:
        ResnexusError: the file cannot be written; names the path and the system's reason.
    """
    write_text(to_json(record) + "\n", path)


def read_json(kind: type[Record], path: Path) -> Record:
    """Read a record of type `kind` that `write_json` wrote.

    Raises:
        RecordError: no such file, no JSON, or not a record of that kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RecordError(f"cannot read {printable(path)}: {reason or error}") from error
    return from_json(kind, text, where=str(path))


def from_json(kind: type[Record], text: str, where: str) -> Record:
    """Build a record of type `kind` from JSON text.

    Args:
        kind: a dataclass, whose fields may be dataclasses, tuples, dicts, literals and unions with None.
        text: JSON.
        where: what the text is, for messages.

    Raises:
        RecordError: no JSON, an unknown or missing field, or a value of another type or outside what the record
            accepts; names the place and `where` it was.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise RecordError(f"{printable(where)} is not JSON: {reason}") from error
    return from_plain(kind, content, where)


def from_plain(kind: type[Record], content: Any, where: str) -> Record:
    """Build a record of type `kind` from plain values; arguments and errors as for `from_json`."""
    from cattrs import transform_error

    try:
        return _converter().structure(content, kind)
    except RecursionError as error:
        raise RecordError(f"{printable(where)}: it is nested too deeply") from error
    except Exception as error:  # cattrs gathers what every field says in an exception of its own
        first = transform_error(error, path="", format_exception=_sentence)[0]
        reason, _, place = first.rpartition(" @ ")
        raise RecordError(f"{printable(where)}{place and ': ' + place.removeprefix('.')}: {reason}") from error


@cache
def _converter() -> Converter:
    """Return the reader; the standard one of cattrs would take the text "1" for the number 1."""
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    for kind in (bool, int, str):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(_is_plain_union, _plain)
    converter.register_structure_hook_factory(_is_sequence, lambda kind: _sequence(kind, converter))
    converter.register_structure_hook_factory(_is_mapping, lambda kind: _mapping(kind, converter))
    converter.register_structure_hook_factory(is_dataclass, lambda kind: _dataclass(kind, converter))
    return converter


def _exactly(kind: type[Any]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ResnexusError(f"expected {_NAMES[kind]}, found {_shown(value)}")
        return value

    return structure


_NAMES = {bool: "true or false", int: "a whole number", str: "a text"}


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ResnexusError(f"expected a number, found {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ResnexusError("expected a number that fits 64 bits, found a larger one") from None


def _is_plain_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and set(get_args(kind)) <= {*_NAMES, float, type(None)}


def _plain(value: Any, kind: Any) -> Any:
    if type(value) in get_args(kind):
        return value
    if float in get_args(kind) and type(value) is int:
        return _number(value, float)
    accepted = (_NAMES.get(item, "a number") for item in get_args(kind) if item is not type(None))
    raise ResnexusError(f"expected {' or '.join(accepted)}, found {_shown(value)}")


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[1:] == (...,)


def _sequence(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    from cattrs.cols import homogenous_tuple_structure_factory

    build = homogenous_tuple_structure_factory(kind, converter)

    def structure(content: Any, target: Any) -> Any:
        if not isinstance(content, (list, tuple)):  # a text is a sequence, too
            raise ResnexusError(f"expected a list, found {_shown(content)}")
        return build(content, target)

    return structure


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) in (dict, Mapping)


def _mapping(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_mapping_structure_fn

    build: Callable[[Any, Any], Any] = make_mapping_structure_fn(kind, converter, dict)

    def structure(content: Any, target: Any) -> Any:
        if not isinstance(content, Mapping):
            raise ResnexusError(f"expected an object, found {_shown(content)}")
        return build(content, target)

    return structure


def _dataclass(kind: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn

    build: Callable[[Any, Any], Any] = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
    known = {item.name: item.init for item in fields(kind)}

    def structure(content: Any, target: Any) -> Any:
        if not isinstance(content, Mapping):
            raise ResnexusError(f"expected an object, found {_shown(content)}")
        for name in content:
            if name not in known:
                raise unknown(f"field of {kind.__name__}", name, known)
        # Fields that follow from the others are written for other readers and not read.
        return build({name: value for name, value in content.items() if known[name]}, target)

    return structure


def _sentence(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "it is missing"
    return str(error).partition("\n")[0]


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
