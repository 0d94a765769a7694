"""The one error a user can cause, and the sentence that names what was accepted instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
    lowered = {name.lower(): name for name in names}
    close = get_close_matches(str(value).lower(), list(lowered), n=1, cutoff=0.6)
    message = f"unknown {what} {value!r}"
    if close:
        message += f": did you mean {lowered[close[0]]!r}?"
    if len(names) <= 12:
        message += f" Accepted: {', '.join(names)}." if close else f": accepted are {', '.join(names)}."
    elif see:
        message += f" {len(names)} names: {see}." if close else f": {len(names)} names, see {see}."
    return ResnexusError(message)


def printable(text: object) -> str:
    """Return text from outside, such as a path or a name in a file, as a terminal and a text file may show it.

    Control characters and what is not Unicode (a file name may hold both) become escapes.
    """
    shown = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
