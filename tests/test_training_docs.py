"""docs/training.md: its commands run, in small, and its tables are what the records say.

After new records write the page anew: RESNEXUS_WRITE_DOCS=1 pytest -n0 tests/test_training_docs.py
"""

import os
import re
import shlex
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from resnexus import complexity, trainer
from resnexus.weights.checkpoint_file import read_record
from studies import gpu_hours, small_data
from tests.measured import check_measured
from tests.test_docs import ROOT, blocks, mirrored

PAGE = ROOT / "docs" / "training.md"
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
SMALL = {
    "epochs": 1,
    "warmup_epochs": 0,
    "global_batch_size": 100,
    "lr": 1e-6,  # the weights are not trained ones, and may go anywhere
    "image_size": 32,
    "eval_size": 32,
    "resize_short": 32,
    "workers": 0,
    "precision": "fp32",  # bf16 takes a processor without it ten times as long
}
CLASSES = 1000


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("gpu hours", gpu_hours.table),
        ("small data", lambda: f"{small_data.section(small_data.newest())}\n"),
    ],
)
def test_the_tables_come_from_the_records(name, table):
    check_measured(PAGE, name, table())


def test_an_hour_of_training_is_what_it_says():
    record = {"networks": {"resnext50_32x4d": {"gmacs": 4.26, "images_per_s": 1000}}}
    macs = complexity("ResNeXt50_32x4d").macs / 1e9
    expected = 2 * 1_281_167 * 3 / 1000 * macs / 4.26 / 3600
    assert gpu_hours.gpu_hours("ResNeXt50_32x4d", 2, record) == pytest.approx(expected)


def pictures(folder, classes, count):
    """Write noise, darker in every class than in the one before."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256 - 100 * number // len(classes), (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as a reader has it: photographs of two kinds, an ImageNet of its own, a recipe, a mirror of weights."""
    folder = tmp_path_factory.mktemp("place")
    pictures(folder / "my-photos", ("cat", "dog"), 6)
    for part in ("train", "val"):
        pictures(folder / "imagenet" / part, [f"n{number:08d}" for number in range(CLASSES)], 1)
    (folder / "mine.yaml").write_text(blocks(PAGE, "yaml")[0])
    mirrored(folder, "SE_ResNet18_vd", "ResNeXt50_32x4d", "Res2Net50_vd_26w_4s_ssld", "Res2Net200_vd_26w_4s_ssld")
    return folder


@pytest.fixture
def _there(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("RESNEXUS_HOME", "weights")
    monkeypatch.setenv("RESNEXUS_MIRROR", f"file://{place}/mirror")


def commands(kind):
    """Every command of the page that begins with a word, as words, trained in small and on the CPU."""
    found = []
    for block in blocks(PAGE, "console"):
        for line in COMMAND.findall(block):
            words = shlex.split(line.replace("\\\n", " "))
            if words[0] != kind:
                continue
            if "train" in words:
                words += ["--device", "cpu"]
                words += [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
            found.append(words + (["--device", "cpu"] if "evaluate" in words else []))
    return found


def option(words, name):
    return words[words.index(name) + 1]


@pytest.mark.slow
@pytest.mark.timeout(3600)  # on a busy machine, too
@pytest.mark.usefixtures("_there")
def test_the_commands_of_one_process_run(place, command):
    run = commands("resnexus")
    assert len(run) == 11
    for words in run:
        done = command(*words[1:])
        assert done.returncode == 0, (words, done.stderr)
        if "--print-recipe" in words:
            assert re.search(r"^mixup_alpha +0.2$", done.stdout, re.MULTILINE)
        elif words[1] == "train":
            out = place / option(words, "--out")
            assert read_record(out / "best.safetensors").metrics["epoch"] == 1
            assert len((out / "metrics.csv").read_text().splitlines()) == 2
    assert {"index.html", "evaluation.json"} <= {path.name for path in (place / "evaluation").iterdir()}
    assert len((place / "answers.csv").read_text().splitlines()) == 1 + 12
    assert read_record(place / "run-small" / "last.safetensors").teacher == "run-large/best.safetensors"
    assert read_record(place / "run-ssld" / "last.safetensors").teacher == "Res2Net200_vd_26w_4s:ssld"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("_there")
def test_the_python_of_the_page_runs(place, monkeypatch, capsys):
    train = trainer.train
    monkeypatch.setattr(
        trainer,
        "train",
        lambda *arguments, changes, **options: train(*arguments, changes=changes | SMALL, device="cpu", **options),
    )
    (text,) = blocks(PAGE, "python no-run")
    exec(compile(text, PAGE.name, "exec"), {})
    assert 0 <= float(capsys.readouterr().out) <= 1
    assert (place / "run-resnext" / "best.safetensors").is_file()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def launched(words, port, log):
    """Start torchrun with two processes on this machine, or with one that is a node of two."""
    changed = {"--nproc-per-node": "1" if "--nnodes" in words else "2", "--master-addr": "127.0.0.1"}
    words = ["--master-port", port] * ("--master-port" not in words) + words[1:]
    for name, value in (changed | {"--master-port": port}).items():
        if name in words:
            words[words.index(name) + 1] = value
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *words],
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.slow
@pytest.mark.timeout(3600)  # on a busy machine, too
@pytest.mark.usefixtures("_there")
@pytest.mark.parametrize("number", range(3))
def test_the_commands_of_several_processes_run(place, number):
    run = commands("torchrun")
    assert len(run) == 3
    words = run[number]
    each = [words]
    if "--nnodes" in words:
        second = list(words)
        second[second.index("--node-rank") + 1] = "1"
        each.append(second)
    logs = [place / f"{number}-{rank}.log" for rank in range(len(each))]
    port = free_port()
    started = [launched(own, port, log) for own, log in zip(each, logs, strict=True)]
    for process, log in zip(started, logs, strict=True):
        assert process.wait() == 0, log.read_text()[-3000:]
    out = place / option(words, "--out")
    assert read_record(out / "last.safetensors").metrics["epoch"] == 1
    assert len((out / "metrics.csv").read_text().splitlines()) == 2
