"""Thousands of files, one of a hundred broken; workers and the command itself are killed while it runs."""

import random
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

FILES, BROKEN, SHARD = 6000, 100, 100
KILLS = 10
"""Of workers of either kind and of the command, every fifth time the command."""


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
    return found


def kill(process):
    try:
        name = Path(f"/proc/{process}/cmdline").read_bytes()
        if b"resource_tracker" not in name:
            subprocess.run(["kill", "-9", str(process)], check=False, capture_output=True)
    except OSError:
        pass


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
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in /proc")
def test_nothing_is_lost_and_nothing_is_there_twice(pictures, weights, tmp_path):
    manifest, undisturbed, out = tmp_path / "manifest", tmp_path / "undisturbed", tmp_path / "out"
    write_manifest([pictures], manifest, shard_images=SHARD)
    settings = PredictionSettings(batch_size=16)
    tally = predict_manifest(str(weights), manifest, undisturbed, settings, Local(1), Silent())
    assert (tally.images, tally.errors) == (FILES, FILES // BROKEN)

    command = [sys.executable, "-m", "resnexus", "predict", "--manifest", str(manifest), "--out", str(out)]
    command += [
        "--model",
        str(weights),
        "--batch-size",
        "16",
        "--workers",
        "1",
        "--processes",
        "2",
        "--time-limit",
        "600",
    ]
    chance, kills, starts = random.Random(5), 0, 0
    while True:
        # To a file: what outlives the command would keep a pipe open.
        with (tmp_path / "said").open("w") as said:
            driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        starts += 1
        while driver.poll() is None and kills < KILLS:
            time.sleep(chance.uniform(0.2, 1.5))
            victims = offspring(driver.pid)
            # Until it has begun to work there is nothing to disturb.
            if len(victims) < 4:
                continue
            kills += 1
            kill(driver.pid if kills % 5 == 0 else chance.choice(victims))
        driver.wait()
        if driver.returncode == 3:
            break
        assert driver.returncode == -9, (tmp_path / "said").read_text()

    print(f"{kills} kills, {starts} starts")
    assert kills >= 5
    assert verify(manifest, out) == tally
    for path in sorted(undisturbed.glob("*.parquet")):
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    ids = [number for path in sorted(out.glob("*.parquet")) for number in parquet.read_table(path)["id"].to_pylist()]
    assert ids == list(range(FILES))
