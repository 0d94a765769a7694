"""Train again and again, killed at random moments; a program, so that nothing else lives in what it forks.

    python torture.py DATA OUT PROCESSES WORKERS KILLS

It trains in OUT/whole without interruption, then kills trainings in OUT/0 and so on, KILLS times in all, by SIGKILL.
What is killed is started again, and lets a folder end when it does. The processes of one training are forked from this
one, which has everything imported, and find each other as torchrun's do.

Moments are counted in work, not in time: calls of functions in one process, drawn at random among as many as the
training that was left in peace made. A process tells its parent when it gets there, and the parent kills it. Every
second moment lies among the calls of `resnexus.files`, where files are written, and the process waits there to be
killed; at the others it runs on, so that it dies wherever it is by then.

Printed, as JSON: every folder that ended with the number of kills in it, how many starts found a checkpoint, and how
many kills left a file half written.
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
import resnexus.files
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
    "stage_lr_decay": 1.0,
    "image_size": 16,
    "eval_size": 16,
    "resize_short": 16,
    "mixup_alpha": 0.2,
    "ema_decay": 0.9,
}
GRACE_S = 5.0  # a process whose peer was killed may wait for it for ever
SHARE = 0.4  # of the calls of a whole training, after which at the latest one is killed


class Calls:
    """Counts the calls of this process, and those of them that write files; tells when there have been enough.

    Args:
        moment: number of the call that is told; None for none.
        writing: whether `moment` counts those that write files alone; then the process waits to be killed.
        told: where to write a byte.
    """

    def __init__(self, moment, *, writing, told):
        self.moment, self.writing, self.told = moment, writing, told
        self.counts = {True: 0, False: 0}

    def __call__(self, frame, event, argument):
        writes = frame.f_code.co_filename == resnexus.files.__file__
        self.counts[False] += 1
        self.counts[True] += writes
        if self.counts[self.writing] == self.moment and (writes or not self.writing):
            os.write(self.told, b"!")
            while self.writing:
                signal.pause()


def train(data, out, rank, processes, workers, port, calls):
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
    log = os.open(log_of(out, rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        os.register_at_fork(after_in_child=lambda: sys.setprofile(None))  # who reads images is not counted
        sys.setprofile(calls)
        resnexus.train(ROW, data, out=out, changes=CHANGES | {"workers": workers}, device="cpu", save_every_s=0.0)
        sys.setprofile(None)
        log_of(out, rank).with_suffix(".json").write_text(json.dumps([calls.counts[False], calls.counts[True]]))
        code = 0
    except BaseException:
        sys.setprofile(None)
        traceback.print_exc()
    finally:
        os._exit(code)


def log_of(out, rank):
    return out.with_name(f"{out.name}.{rank}.log")


def started(data, out, processes, workers, victim=0, moment=None, *, writing=False):
    """Fork the processes of one training; return them, and what is readable once the victim is at its moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, told = os.pipe()
    found = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.close(reading)
            if rank != victim:
                os.close(told)
            own = Calls(moment if rank == victim else None, writing=writing, told=told)
            train(data, out, rank, processes, workers, port, own)
        found.append(child)
    os.close(told)
    return found, reading


def exit_code(child, options=0):
    """Return how a process ended, None if it runs on."""
    pid, status = os.waitpid(child, options)
    return os.waitstatus_to_exitcode(status) if pid else None


def swept(children):
    """Kill what is left of a training, with the processes that read its images."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def ended(children, out):
    """Wait for a training to end well."""
    codes = [exit_code(child) for child in children]
    if any(codes):
        logs = [log_of(out, rank).read_text()[-3000:] for rank in range(len(children))]
        raise SystemExit(f"{out} ended with {codes}:\n" + "\n".join(logs))


def killed(children, victim, out):
    """Kill a process of a training, and return whether it still ran; the others are asked to end, as torchrun does."""
    os.kill(children[victim], signal.SIGKILL)
    code = exit_code(children[victim])
    if code == 0:
        return False
    if code != -signal.SIGKILL:
        raise SystemExit(f"{out} ended with {code}:\n{log_of(out, victim).read_text()[-3000:]}")
    others = [child for child in children if child != children[victim]]
    for child in others:
        os.kill(child, signal.SIGTERM)
    stop = time.monotonic() + GRACE_S
    for child in others:
        while exit_code(child, os.WNOHANG) is None:
            if time.monotonic() > stop:
                os.kill(child, signal.SIGKILL)
                exit_code(child)
                break
            time.sleep(0.01)
    swept(children)
    return True


def attempt(data, out, processes, workers, draw, number, counts):
    """Start a training and kill it at a moment of its own; return whether it was killed before its end."""
    writing = bool(number % 2)
    victim = 0 if writing else draw.randrange(processes)  # the first process alone writes
    moment = draw.randint(1, int(SHARE * counts[victim][writing]))
    children, reading = started(data, out, processes, workers, victim, moment, writing=writing)
    with open(reading, "rb", buffering=0) as told:
        there = told.read(1)  # nothing once all that could write there have ended
    if there and killed(children, victim, out):
        return True
    ended([child for child in children if not (there and child == children[victim])], out)
    return False


def main(data, out, processes, workers, kills):
    out.mkdir(exist_ok=True)
    draw = random.Random(0)
    children, reading = started(data, out / "whole", processes, workers)
    os.close(reading)
    ended(children, out / "whole")
    counts = [json.loads(log_of(out / "whole", rank).with_suffix(".json").read_text()) for rank in range(processes)]
    done, folder, here, resumed, half, found = 0, 0, 0, 0, 0, []
    while done < kills:
        resumed += any(out.glob(f"{folder}/checkpoints/*.ckpt"))
        if attempt(data, out / str(folder), processes, workers, draw, done, counts):
            done, here = done + 1, here + 1
            half += any(out.glob(f"{folder}/**/.*.new"))
        else:
            found.append((str(folder), here))
            folder, here = folder + 1, 0
    children, reading = started(data, out / str(folder), processes, workers)
    os.close(reading)
    ended(children, out / str(folder))
    print(json.dumps({"folders": [*found, (str(folder), here)], "resumed": resumed, "half": half, "calls": counts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
