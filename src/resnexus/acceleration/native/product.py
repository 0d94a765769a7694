"""Matrix products in our kernels, one after another: the most that their convolutions can reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnexus.acceleration.native.calls import KernelCalls
from resnexus.acceleration.native.compiler import library
from resnexus.acceleration.native.layout import blocked, cells_of, planes
from resnexus.acceleration.native.packing import LANES
from resnexus.acceleration.native.program import Program, write_program

CHANNELS, SIDE, PRODUCTS = 512, 28, 16
SHAPE = (LANES, SIDE, SIDE)
"""Of the image that each thread has."""


def chain(folder: Path, threads: int) -> Program:
    """Return a program of 1x1 convolutions that save no multiplications.

    Every thread has an image of its own, of `SHAPE`, so that none waits for another within a call.

    Args:
        folder: for the program's files; exists. The kernels lie elsewhere, for all programs.
        threads: that run it.

    Raises:
        BackendError: there is no C++ compiler, or it fails.
    """
    random = np.random.default_rng(0)
    calls = KernelCalls(fast=False)
    images = planes(LANES, 1, SIDE, SIDE, 0)
    inputs = (LANES, *PRODUCTS * (CHANNELS,))
    weights = [random.standard_normal((CHANNELS, width, 1, 1)) / width**0.5 for width in inputs]
    x = images
    for weight in weights:
        x = calls.convolve(x, weight, None, blocked(cells_of(CHANNELS), 1, SIDE, SIDE))
    calls.write(calls.mean(x, blocked(x.cells, 1, 1, 1)), 0, (CHANNELS,))
    write_program(calls, images, folder)
    return Program(folder, library(), threads, parts=threads)


def macs(threads: int) -> int:
    """Return the multiply-adds of one call."""
    return threads * SIDE**2 * CHANNELS * (LANES + PRODUCTS * CHANNELS)
