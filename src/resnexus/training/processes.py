"""Which of the processes of a training this one is: torchrun's, or those that Lightning starts on one machine."""

from __future__ import annotations

import os

from resnexus.errors import ResnexusError

_TORCHRUN = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


def rank(devices: int) -> int:
    """Return the number of this process among all of its training, 0 for the first, which writes.

    Args:
        devices: what is asked for on one machine, where torchrun has not said it.

    Raises:
        ResnexusError: the environment tells of other processes, and not enough to train with them.
    """
    return int(os.environ["RANK"]) if _under_torchrun(devices) else int(os.environ.get("LOCAL_RANK", "0"))


def spread(devices: int) -> tuple[int, int]:
    """Return devices of a machine, and machines: what torchrun started, or what is asked for on one.

    Args and errors are those of `rank`.
    """
    if not _under_torchrun(devices):
        return devices, 1
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return here, everywhere // here


def _under_torchrun(devices: int) -> bool:
    """Whether torchrun started this process; where something else did that started several, that is refused.

    Each of them would take itself for the only one, and write into the folder of the others.
    """
    told = os.environ
    missing = [name for name in _TORCHRUN if name not in told]
    if not missing and "WORLD_SIZE" in told:
        return True
    tasks, processes = told.get("SLURM_STEP_NUM_TASKS", "1"), told.get("WORLD_SIZE", "1")
    ours = "LOCAL_RANK" in told and "RANK" not in told and processes == str(devices)  # started by Lightning
    for name, value in (("SLURM_STEP_NUM_TASKS", tasks), ("WORLD_SIZE", "1" if ours else processes)):
        if value != "1":
            raise ResnexusError(
                f"{name}={value} without {' and '.join(missing)}: this is one of several processes that were not "
                "started by torchrun. Start one torchrun on every machine, as docs/training.md shows, or unset "
                f"{name} to train in this process alone"
            )
    return False
