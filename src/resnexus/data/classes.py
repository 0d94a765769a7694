"""What classes are called that data have as numbers."""

from __future__ import annotations

from collections.abc import Iterable

from resnexus.errors import ResnexusError


def numbered_classes(labels: Iterable[int], where: str, fix: str) -> tuple[str, ...]:
    """Return numbers as names, for data that have no names; every class must be there.

    Args:
        labels: of the training images.
        where: what has them, for messages.
        fix: where the classes can be named, likewise.

    Raises:
        ResnexusError: a number is missing below the largest, or there is only one class.
    """
    found = sorted(set(labels))
    missing = next((place for place, label in enumerate(found) if place != label), None)
    if missing is not None:
        raise ResnexusError(
            f"{where}: no image of class {missing}, and the largest is {found[-1]}; number the classes from 0, or "
            f"name them all in {fix}"
        )
    return check_classes(tuple(map(str, found)), where)


def check_classes(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return `names` if there are enough of them to tell apart.

    Raises:
        ResnexusError: fewer than two.
    """
    if len(names) < 2:
        raise ResnexusError(f"{where}: {'only one class' if names else 'no class'}; classification needs at least two")
    return names
