"""Thousands of files, one of a hundred broken; workers and the command itself are killed while it runs.

RESNEXUS_SURVIVAL_FILES says how many files, a multiple of 80. The kills come after so many results, and not after so
much time, so that a quick machine sees as many of them as a slow one.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus.prediction.bulk import predict_manifest, verify
from resnexus.prediction.executors import Local
from resnexus.prediction.manifest import write_manifest
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Silent

parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pebble")

SHARDS = 80
FILES = int(os.environ.get("RESNEXUS_SURVIVAL_FILES", 50 * SHARDS))
BROKEN = 100
KILLS = 10
"""Of workers of either kind and of the command, every fifth time the command."""
APART = 4
"""Shards that are done between two kills, at most: together half of them, however late a kill comes."""
LOOK_S = 0.002
MOST_GROWN = 32 * 2**20
"""Bytes of memory that the second half of the shards may take beyond the first."""


def offspring(process):
    """All processes that a process has started, and those that they have; not the one that tidies up after them."""
    found = []
    for child in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            own = [int(number) for number in child.read_text().split()]
        except OSError:
            continue
        for number in own:
            found += [number, *offspring(number)]
    return [number for number in found if b"resource_tracker" not in called(number)]


def called(process):
    """The command line of a process; of one that is gone what no other is called."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b"resource_tracker"


def kill(process):
    """Kill a process; say whether it was there."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(8)
    for number in range(FILES):
        path = folder / f"{number}.png"
        Image.fromarray(noise.integers(0, 256, (20, 26, 3), dtype=np.uint8)).save(path, compress_level=1)
        if number % BROKEN == 7:
            path.write_bytes(path.read_bytes()[: 60 if number % 200 == 7 else 0])
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in /proc")
def test_nothing_is_lost_and_nothing_is_there_twice(pictures, weights, tmp_path):
    manifest, undisturbed, out = tmp_path / "manifest", tmp_path / "undisturbed", tmp_path / "out"
    assert write_manifest([pictures], manifest, shard_images=-(-FILES // SHARDS)).shards == SHARDS
    settings = PredictionSettings(batch_size=16)
    memory = []

    def watched(function, tasks):
        for count in Local(1)(function, tasks):
            memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
            yield count

    tally = predict_manifest(str(weights), manifest, undisturbed, settings, watched, Silent())
    assert (tally.images, tally.errors) == (FILES, -(-(FILES - 7) // BROKEN))
    grown = max(memory[SHARDS // 2 :]) - max(memory[: SHARDS // 2])
    assert grown <= MOST_GROWN

    command = [sys.executable, "-m", "resnexus", "predict", "--manifest", str(manifest), "--out", str(out)]
    command += ["--model", str(weights), "--batch-size", "16", "--time-limit", "600"]
    command += ["--workers", "1", "--processes", "2"]
    chance, kills, starts = random.Random(5), 0, 0

    def done():
        return len(list(out.glob("*.parquet")))

    while True:
        # To a file: what outlives the command would keep a pipe open.
        with (tmp_path / "said").open("w") as said:
            driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        starts += 1
        moment = done() + chance.randint(1, APART)
        while driver.poll() is None and kills < KILLS:
            time.sleep(LOOK_S)
            if done() < moment:
                continue
            victims = [driver.pid] if kills % 5 == 4 else offspring(driver.pid)
            if victims and kill(chance.choice(victims)):
                kills, moment = kills + 1, done() + chance.randint(1, APART)
        driver.wait()
        if driver.returncode == 3:
            break
        assert driver.returncode == -signal.SIGKILL, (tmp_path / "said").read_text()

    print(f"{FILES} files, {kills} kills, {starts} starts, {grown / 2**20:.1f} MiB more memory for the second half")
    assert kills == KILLS
    assert starts == 1 + KILLS // 5
    assert verify(manifest, out) == tally
    for path in sorted(undisturbed.glob("*.parquet")):
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    ids = [number for path in sorted(out.glob("*.parquet")) for number in parquet.read_table(path)["id"].to_pylist()]
    assert ids == list(range(FILES))
