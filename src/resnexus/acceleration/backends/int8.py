"""int8 after training, by NNCF: how a graph is quantised and what of it is left alone, for every library's graphs."""

from __future__ import annotations

import io
import logging
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from resnexus.packages import required
from resnexus.signal_stack import signal_stack_kept

_MEANS = frozenset({"reducemean", "mean"})
_PRODUCTS = frozenset({"multiply", "mul"})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a graph, as far as it matters here.

    Attributes:
        name: by which NNCF knows it.
        kind: what it computes, as its library calls it, in small letters.
        inputs: names of the operations that it reads from, constants left out.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]


def quantised(model: Any, images: Sequence[Any], left_alone: Sequence[str], *, level: int = logging.WARNING) -> Any:
    """Return a copy of a graph whose convolutions and matrix products compute in int8.

    Weights are symmetric, with a step for every output channel; activations are symmetric, with one step. Biases are
    corrected for the mean error that quantisation makes (NNCF's fast bias correction).

    Args:
        model: of OpenVINO, ONNX or PyTorch; what NNCF takes.
        images: to calibrate with, each as the graph takes a batch of one.
        left_alone: names of operations.
        level: of NNCF's log, from which on it is shown.

    Raises:
        MissingPackageError: NNCF is not installed.
    """
    with _nncf_quiet(level) as nncf, signal_stack_kept():
        # By default an activation's range is the mean of the images' largest values, which clips every image above it.
        ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=list(left_alone)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges),
        )


def gate_operations(operations: Sequence[Operation]) -> list[str]:
    """Return the names of all operations of the gates, from the mean to where they meet what they gate.

    Gates are left alone: their few multiply-adds decide over whole channels, and cost as good as nothing. NNCF leaves
    gates alone that it knows: those of two 1x1 convolutions. Ours are two matrix products, and some are computed from
    the mean of another tensor than they gate.
    """
    by_name = {operation.name: operation for operation in operations}
    readers: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        for name in operation.inputs:
            readers[name].append(operation)
    found: list[str] = []
    for operation in operations:
        if operation.kind == "sigmoid":
            found += _down_to_product(operation, readers)
            found += _up_to_mean(operation, by_name)
    return list(dict.fromkeys(found))


def _down_to_product(sigmoid: Operation, readers: Mapping[str, Sequence[Operation]]) -> list[str]:
    names, operation = [], sigmoid
    while operation.kind not in _PRODUCTS:
        (operation,) = readers[operation.name]
        names.append(operation.name)
    return names


def _up_to_mean(sigmoid: Operation, by_name: Mapping[str, Operation]) -> list[str]:
    names, open_ = [], [sigmoid]
    while open_:
        operation = open_.pop()
        names.append(operation.name)
        if operation.kind not in _MEANS:
            open_ += [by_name[name] for name in operation.inputs]
    return names


@contextmanager
def _nncf_quiet(level: int) -> Iterator[Any]:
    """Give NNCF, whose output is none of ours: bars go to a terminal or nowhere, and only warnings are logged."""
    with redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        nncf = required("nncf")  # in here, because its logger writes for ever to where this leads
        logger = logging.getLogger("nncf")
        before = logger.level
        logger.setLevel(level)
        try:
            yield nncf
        finally:
            logger.setLevel(before)
