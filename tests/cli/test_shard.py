"""`resnexus shard`, and a training on what it wrote."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import resnexus
from resnexus import ResnexusError
from resnexus.cli.shard import byte_count
from resnexus.data.shards.index import read_index

ROW = resnexus.Architecture(
    name="t", block="bottleneck", depths=(1,), width=4, out_width=8, stem="small", stem_width=8, se_reduction=2
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two classes of 6 + 2 pictures."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                noise = random.integers(0, 256, (20, 26, 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / part / name / f"{number}.jpg")
    return root


def test_two_epochs_end_the_same_from_folders_and_from_shards(pictures, tmp_path, command):
    assert command("shard", pictures, tmp_path / "shards", "--images-per-shard", 5).returncode == 0
    changes = {
        "stage_lr_decay": 1.0,
        "epochs": 2,
        "global_batch_size": 4,
        "image_size": 16,
        "eval_size": 16,
        "resize_short": 18,
    }
    found = []
    for data, workers in ((pictures, 0), (tmp_path / "shards", 1)):
        out = tmp_path / f"run{len(found)}"
        resnexus.train(ROW, data, out=out, changes=changes | {"workers": workers}, device="cpu")
        found.append(torch.load(max((out / "checkpoints").iterdir()))["state_dict"])
    assert [name for name, value in found[0].items() if not torch.equal(value, found[1][name])] == []


def test_bad_images_of_a_shard_stop_a_training_or_are_counted_and_named(pictures, tmp_path, command):
    shards, out = tmp_path / "shards", tmp_path / "run"
    command("shard", pictures, shards, "--images-per-shard", 5)
    for part in ("train", "val"):
        index = read_index(shards / f"{part}.index.safetensors")
        with (shards / f"{part}-000000.tar").open("r+b") as file:
            file.seek(index.place(1).offset + 100)
            file.write(b"damage")
    settings = [
        "epochs=1",
        "warmup_epochs=0",
        "stage_lr_decay=1",
        "global_batch_size=4",
        "image_size=16",
        "eval_size=16",
        "resize_short=16",
    ]
    arguments = ["train", "--model", "ResNet_small", "--data", shards, "--out", out, "--device", "cpu"]
    arguments += [word for setting in settings for word in ("--set", setting)]
    image = f"{shards}/train-000000.tar/000000001.jpg: its bytes are not those that were written"
    done = command(*arguments)
    assert done.returncode == 2
    assert f"error: training image {image}. Repair or remove it" in done.stderr
    done = command(*arguments, "--allow-bad-images")
    assert done.returncode == 0
    assert done.stderr.endswith(
        f"2 images could not be read and were skipped:\n  {image}\n  {image.replace('train-', 'val-')}\n"
    )
    assert "best: " in done.stdout


def test_the_command_says_what_it_wrote_and_goes_on(pictures, tmp_path, command):
    arguments = ("shard", pictures, tmp_path / "out", "--size", "12KB")
    done = command(*arguments)
    count = len(list((tmp_path / "out").glob("*.tar")))
    assert count > 2
    assert done.stdout.startswith(f"{count} shards, 0.00 GB: 12 images to train and 4 to evaluate on; {tmp_path}/out")
    assert "writing train shards: 12 of 12" in done.stderr
    again = json.loads(command(*arguments, "--json").stdout)
    assert (len(again["shards"]), again["images"]) == (count, [12, 4])
    done = command("shard", pictures, tmp_path / "out", "--size", "24KB")
    assert (done.returncode, "holds shards of other images or of another size" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "size"), [("1GB", 10**9), ("1.5 kb", 1500), ("64MiB", 2**26), ("7", 7), ("2b", 2), ("1gib", 2**30)]
)
def test_sizes(text, size):
    assert byte_count(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1TB", "1e9", "1 G B"])
def test_what_is_no_size(text):
    with pytest.raises(ResnexusError, match=r"expected a number of bytes, such as 1GB, 500MB or 64MiB"):
        byte_count(text)
