"""What a comparison says of a training that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnexus.training.stopping import Stopped


@contextmanager
def goes_on_later(title: str) -> Iterator[None]:
    """Note on whatever ends the training in the block that it goes on later.

    Args:
        title: what the training is called in print.
    """
    try:
        yield
    except Stopped:  # says so itself
        raise
    except BaseException as error:  # an interruption may surface as another one
        error.add_note(f"the training of {title} goes on after its last whole epoch")
        raise
