"""A process whose Triton interprets kernels: this one may have imported Triton already, which then compiles them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from typing import TypeVar

import pytest
from interpreting import interpret

Found = TypeVar("Found")


@pytest.fixture(scope="session")
def interpreted() -> Iterator[Callable[..., Found]]:
    """Call a function of an importable module, with arguments and a result that can be pickled, over there."""
    if find_spec("triton") is None:
        pytest.skip("the kernels need Triton, which comes with PyTorch on Linux")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=interpret) as process:
        yield lambda function, *arguments, **options: process.submit(function, *arguments, **options).result()
