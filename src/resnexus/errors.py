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
