"""Records of one kind in a file, one on a line: written whole or not at all, and read strictly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from resnexus.errors import printable
from resnexus.files import replacing
from resnexus.records import RecordError, from_json

Record = TypeVar("Record")


def write_lines(records: Iterable[Any], path: Path) -> int:
    """Write dataclasses as JSON lines, and return how many they were; none is kept.

    Raises:
        ResnexusError: the file cannot be written.
    """
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            text = json.dumps(asdict(record), ensure_ascii=False)
            # A lone surrogate, as in a file name that is not UTF-8, becomes an escape, which JSON reads as what it was.
            file.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
            count += 1
    return count


def read_lines(kind: type[Record], path: Path) -> Iterator[Record]:
    """Yield the records of type `kind` that `write_lines` wrote.

    Raises:
        RecordError: no such file, or a line that is no record of that kind; names the line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield from_json(kind, line, where=f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RecordError(f"cannot read {printable(path)}: {reason or error}") from error
