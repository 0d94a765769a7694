"""A process of `gpu_bench`: it opens all that its task names, waits until it has the device alone, and measures."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from studies.gpu_networks import network
from studies.gpu_record import Outcome
from studies.gpu_stages import parity, peaks, training
from studies.gpu_task import Kind, Measure, Setting, Task

OPENED = "opened"

_KINDS: dict[Kind, Callable[[Task, Setting, Path], Measure]] = {
    "network": network,
    "parity": parity,
    "peaks": peaks,
    "training": training,
}


def work(task: Task, setting: Setting, parent: Connection) -> None:
    """Open everything, say so, wait for a word, then measure, and send the `Outcome`; what fails is a note in it."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure = _KINDS[task.kind](task, setting, Path(folder))
            parent.send(OPENED)
            parent.recv()
            parent.send(measure())
    except (EOFError, BrokenPipeError):  # nobody waits for it any more
        return
    except Exception:
        parent.send(Outcome(notes=(f"{task.name}: {traceback.format_exc(limit=-3).strip()}",)))
