"""A pool is scored while the command is killed again and again; nothing is lost, and the bytes are the same."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from resnexus.distillation.cache import open_cache
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.prediction.settings import PredictionSettings

PICTURES, SHARD, KILLS = 240, 8, 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_score_goes_on_to_the_same_bytes(weights, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(8)
    for number in range(PICTURES):
        pixels = noise.integers(0, 256, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    (folder / "77.png").write_bytes(b"")
    settings = ScoreSettings(views=2, shard_pictures=SHARD, asking=PredictionSettings(batch_size=6))
    undisturbed = score(Listed([folder]), str(weights), tmp_path / "undisturbed", settings)

    out = tmp_path / "out"
    command = [sys.executable, "-m", "resnexus", "distill", "score", str(folder), "--teacher", str(weights)]
    command += ["--out", str(out), "--views", "2", "--shard-pictures", str(SHARD), "--batch-size", "6"]
    command += ["--processes", "1"]
    chance, kills, starts = random.Random(5), 0, 0
    while True:
        done = len(list(out.glob("shard-*.jsonl"))) if out.is_dir() else 0
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        starts += 1
        while process.poll() is None and kills < KILLS:
            time.sleep(chance.uniform(0.01, 0.1))
            # Until it has done some work there is nothing to disturb.
            if len(list(out.glob("shard-*"))) > 2 * done + 1:
                kills += 1
                process.kill()
                process.wait()
        process.wait()
        if process.returncode == 0:
            break
        assert process.returncode == -9, (tmp_path / "said").read_text()

    print(f"{kills} kills, {starts} starts")
    assert kills == KILLS
    again = open_cache(out)
    assert list(again.pictures) == list(undisturbed.pictures)
    for path in sorted(undisturbed.folder.glob("shard-*")):
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    assert (out / "cache.json").read_bytes() == (undisturbed.folder / "cache.json").read_bytes()
    assert not list(out.glob(".*.new"))
