"""Which values of a parametrised test `make test` runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest


def sampled(values: Iterable[Any], stay: Collection[Any], key: Callable[[Any], Any] = lambda value: value) -> list[Any]:
    """Mark the values of a parametrised test as thorough, but for a few that reach every branch.

    Args:
        values: as `parametrize` takes them; a tuple is a value for each of several arguments.
        stay: those that `make test` runs, by their key.
        key: what `stay` calls a value; the value itself unless given.

    Raises:
        ValueError: `stay` names what is none of the values, as it does after one of them was renamed.
    """
    values = list(values)
    keys = [key(value) for value in values]
    unknown = [name for name in stay if name not in keys]
    if unknown:
        raise ValueError(f"{unknown} should stay and are none of {keys}")
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=[] if name in stay else [pytest.mark.thorough]
        )
        for value, name in zip(values, keys, strict=True)
    ]
