"""Train again and again, killed at random moments; a program, so that nothing else lives in what it forks.

    python torture.py DATA OUT PROCESSES WORKERS KILLS

It trains in OUT/whole without interruption, then kills trainings in OUT/0 and so on, KILLS times in all, by SIGKILL.
What is killed is started again, and lets a folder end when it does. Every folder that ended is printed, as JSON, with
the number of kills in it, and how many starts found a checkpoint. The processes of one training are forked from this
one, which has everything imported, and find each other as torchrun's do.
"""

import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import resnexus
import resnexus.trainer
import resnexus.training.module
import resnexus.training.saving
import resnexus.training.validation

ROW = resnexus.Architecture(
    name="t", block="bottleneck", depths=(1,), width=4, out_width=8, stem="small", stem_width=8, se_reduction=2
)
CHANGES = {
    "epochs": 10,
    "global_batch_size": 8,
    "lr": 2.0,
    "image_size": 16,
    "eval_size": 16,
    "resize_short": 16,
    "mixup_alpha": 0.2,
    "ema_decay": 0.9,
}
GRACE_S = 5.0  # a process whose peer was killed may wait for it for ever


def train(data, out, rank, processes, workers, port):
    """Train in this process, which ends with it."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "torture",
    }
    code = 1
    log = os.open(out.with_name(f"{out.name}.{rank}.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        resnexus.train(ROW, data, out=out, changes=CHANGES | {"workers": workers}, accelerator="cpu", save_every_s=0.0)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def started(data, out, processes, workers):
    """Fork the processes of one training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            train(data, out, rank, processes, workers, port)
        found.append(child)
    return found


def ended(children, seconds):
    """Wait for all children until some time has passed; return their exit codes, None for those that run on."""
    codes = dict.fromkeys(children)
    stop = time.monotonic() + seconds
    while None in codes.values() and time.monotonic() < stop:
        for child in children:
            if codes[child] is None:
                pid, status = os.waitpid(child, os.WNOHANG)
                codes[child] = os.waitstatus_to_exitcode(status) if pid else None
        time.sleep(0.002)
    return codes


def swept(children):
    """Kill what is left of a training, with the processes that read its images."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def killed(children, draw):
    """Kill one process of a training; the others are asked to end, as torchrun does, and then killed, too."""
    running = [child for child, code in ended(children, 0.0).items() if code is None] or children
    victim = draw.choice(running)
    os.kill(victim, signal.SIGKILL)
    for child in children:
        if child != victim:
            os.kill(child, signal.SIGTERM)
    codes = ended(children, GRACE_S if len(children) > 1 else 60.0)
    for child, code in codes.items():
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    swept(children)


def whole(data, out, processes, workers):
    """Train to the end."""
    children = started(data, out, processes, workers)
    codes = ended(children, 600.0)
    if any(codes.values()) or None in codes.values():
        logs = [out.with_name(f"{out.name}.{rank}.log").read_text()[-3000:] for rank in range(processes)]
        raise SystemExit(f"{out} ended with {list(codes.values())}:\n" + "\n".join(logs))


def main(data, out, processes, workers, kills):
    out.mkdir(exist_ok=True)
    draw = random.Random(0)
    begin = time.monotonic()
    whole(data, out / "whole", processes, workers)
    longest = (time.monotonic() - begin) / 8
    done, folder, here, resumed, found = 0, 0, 0, 0, []
    while done < kills:
        resumed += any(out.glob(f"{folder}/checkpoints/*.ckpt"))
        children = started(data, out / str(folder), processes, workers)
        codes = ended(children, draw.uniform(0.0, longest))
        if None in codes.values():
            killed([child for child, code in codes.items() if code is None], draw)
            done, here = done + 1, here + 1
        elif any(codes.values()):
            raise SystemExit(out.joinpath(f"{folder}.0.log").read_text()[-3000:])
        else:
            found.append((str(folder), here))
            folder, here = folder + 1, 0
    whole(data, out / str(folder), processes, workers)
    print(json.dumps({"folders": [*found, (str(folder), here)], "resumed": resumed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
