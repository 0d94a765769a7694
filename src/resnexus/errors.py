"""The one error a user can cause, and the sentence that names what was accepted instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

PREFIX = 3
"""Letters from which on the beginning of a name stands for it."""


class ResnexusError(ValueError):
    """Something the caller can put right; the message names the value, what is accepted and the fix."""


def unknown(what: str, value: object, accepted: Iterable[str], see: str = "") -> ResnexusError:
    """Return the error for a name that is not among `accepted`.

    Args:
        what: kind of the name, singular, e.g. `"architecture"`.
        value: the offending value.
        accepted: every valid name; all are listed when there are at most twelve.
        see: where to read the full list when it is too long to print.
    """
    names = sorted(accepted)
    near = nearest(str(value), names)
    message = f"unknown {what} {value!r}"
    if near:
        message += f": did you mean {near!r}?"
    if len(names) <= 12:
        message += f" Accepted: {', '.join(names)}." if near else f": accepted are {', '.join(names)}."
    elif see:
        message += f" {len(names)} names: {see}." if near else f": {len(names)} names, see {see}."
    return ResnexusError(message)


def nearest(value: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, or None.

    That is the shortest that begins with `value`, from three letters on; else the one that is spelled most alike.
    Upper and lower case are the same.
    """
    lowered = {name.lower(): name for name in names}
    value = value.lower()
    longer = [name for name in lowered if name.startswith(value)] if len(value) >= PREFIX else []
    close = sorted(longer, key=len)[:1] or get_close_matches(value, list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def printable(text: object) -> str:
    """Return text from outside, such as a path or a name in a file, as a terminal and a text file may show it.

    Control characters and what is not Unicode (a file name may hold both) become escapes.
    """
    shown = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
