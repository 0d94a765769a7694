"""Accuracy control: how many of the most sensitive layers must stay out of int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Tried = TypeVar("Tried")


def fewest_put_back(
    attempt: Callable[[tuple[str, ...]], Tried],
    accepted: Callable[[Tried], bool],
    order: Callable[[], Sequence[str]],
) -> Tried | None:
    """Return the first attempt that is accepted, with as few layers put back as the search finds; None if none is.

    First no layer is put back. If that is not accepted, the 1, 2, 4, ... most sensitive ones are, until an attempt is;
    and then the number is halved down between the last that failed and the first that passed. One layer at least stays
    in int8. That takes about 2 log2(layers) attempts, and not one for every layer.

    Args:
        attempt: quantises with these layers put back, and measures.
        accepted: whether an attempt is good enough.
        order: the layers, the most sensitive first; asked for if the first attempt is not good enough.
    """
    found = attempt(())
    if accepted(found):
        return found
    names = order()
    most, failed, count = len(names) - 1, 0, 1
    while failed < most:
        found = attempt(tuple(names[:count]))
        if accepted(found):
            break
        failed, count = count, min(2 * count, most)
    else:
        return None
    while count - failed > 1:
        middle = (count + failed) // 2
        other = attempt(tuple(names[:middle]))
        if accepted(other):
            found, count = other, middle
        else:
            failed = middle
    return found
