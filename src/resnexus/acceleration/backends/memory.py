"""A lack of memory, which every library words its own way, as one error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from resnexus.acceleration.backends.contract import Job
from resnexus.errors import ResnexusError


class OutOfMemoryError(ResnexusError):
    """A batch that does not fit in memory."""


_NO_MEMORY = re.compile(r"allocate memory|out of memory|bad[_ ]alloc|not enough memory", re.IGNORECASE)


@contextmanager
def memory_errors(job: Job) -> Iterator[None]:
    """Turn a failed allocation, which every library words its own way, into one error.

    Raises:
        OutOfMemoryError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        raise OutOfMemoryError(
            f"not enough memory for {job.batch_size} images of {job.image_size[0]}x{job.image_size[1]} in "
            f"{job.precision} on {job.device}: use a smaller batch or smaller images"
        ) from error
