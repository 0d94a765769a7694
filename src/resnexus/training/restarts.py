"""Processes that torchrun starts again find each other, and not those that are gone."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def meet_again(device: torch.device) -> None:
    """Make the process group of a training that torchrun has started again on one machine; else do nothing.

    torchrun keeps one store for all its starts, into which the processes write their addresses under the same names
    each time, so that one which is started again may read the address of one that is gone, and is refused there. Here
    every start but the first has names of its own; whoever makes the group of the first finds them as they are.

    On several machines each counts its own starts, which gives no common name. There the store is not to be kept:
    `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`.

    Args:
        device: where this process trains.
    """
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    if start == "0" or not kept or os.environ.get("GROUP_WORLD_SIZE") != "1" or dist.is_initialized():
        return
    rank, processes = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, processes, is_master=False)  # type: ignore[attr-defined]
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=dist.PrefixStore(f"start{start}", store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=processes,
    )
