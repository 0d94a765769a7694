"""The networks of a distillation's checkpoint: their entries are called `Student.NAME` and `Teacher.NAME`."""

from __future__ import annotations

from collections.abc import Collection

from resnexus.errors import ResnexusError
from resnexus.weights.stored import shown

PREFIXES = ("Student", "Teacher", "student", "teacher")
"""What PaddleClas puts before the names, and how others write it."""


def prefix_of(names: Collection[str], path: str, error: type[ResnexusError]) -> str | None:
    """Return which of `PREFIXES` all entries of a file have before their names; None if none of them has one.

    Args:
        names: of the entries.
        path: of the file, for the message.
        error: what to raise.

    Raises:
        ResnexusError: some entries have one of them, and others do not.
    """
    found = sorted({start for name in names if (start := name.partition(".")[0]) in PREFIXES and start != name})
    if not found:
        return None
    others = [name for name in names if not name.startswith(f"{found[0]}.")]  # the student is first, if there is one
    if others:
        raise error(
            f"{path}: holds {' and '.join(found)} entries and others, such as {shown(others[0])}: "
            f"choose one with prefix={' or prefix='.join(map(repr, found))} (--prefix {found[0]})"
        )
    return found[0]
