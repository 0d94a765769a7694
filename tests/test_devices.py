"""One rule for the names of devices, and every command that takes one."""

import pytest
import torch

from resnexus import ResnexusError
from resnexus.devices import NAMES, device_kind, device_named, device_word, present_device
from resnexus.parity import golden


@pytest.fixture
def gpus(monkeypatch):
    def there(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return there


@pytest.mark.parametrize(
    ("name", "count", "word"),
    [
        ("cpu", 0, "cpu"),
        ("gpu", 0, "cuda"),
        ("cuda", 0, "cuda"),
        ("cuda:0", 0, "cuda:0"),
        ("cuda:07", 0, "cuda:7"),
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda"),
        (torch.device("cuda", 1), 0, "cuda:1"),
    ],
)
def test_the_word_that_is_kept(gpus, name, count, word):
    gpus(count)
    assert device_word(name) == word
    assert device_word(word) == word


@pytest.mark.parametrize("name", ["", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:one", "cuda:0,1", "gpu:0", "mps"])
def test_other_names_are_refused(name):
    with pytest.raises(ResnexusError, match=rf"unknown device '{name}'.* auto, cpu, cuda, cuda:0, gpu\."):
        device_word(name)


def test_a_name_that_is_misspelled():
    with pytest.raises(ResnexusError, match="unknown device 'cudda': did you mean 'cuda'"):
        device_word("cudda")
    assert all(device_word(name) for name in NAMES)


def test_what_runs_on_the_current_gpu_takes_no_number(gpus):
    gpus(2)
    assert [device_kind(name) for name in ("cpu", "gpu", "cuda", "auto")] == ["cpu", "cuda", "cuda", "cuda"]
    with pytest.raises(ResnexusError, match=r"device 'cuda:1': expected no number.*CUDA_VISIBLE_DEVICES=1 makes it"):
        device_kind("cuda:1")


def test_a_gpu_that_is_not_there(gpus):
    gpus(0)
    for name in ("gpu", "cuda", "cuda:0", torch.device("cuda")):
        with pytest.raises(ResnexusError, match=f"device '{name}': PyTorch sees no GPU here; use device 'cpu'"):
            present_device(name)
    assert [present_device(name) for name in ("cpu", "auto")] == ["cpu", "cpu"]
    gpus(2)
    assert [present_device(name) for name in ("auto", "gpu", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(ResnexusError, match="device 'cuda:2': the last GPU that PyTorch sees here is 'cuda:1'"):
        present_device("cuda:2")


def test_pytorchs_device(gpus):
    gpus(2)
    assert device_named("gpu") == torch.device("cuda")
    assert device_named("cuda:1") == torch.device("cuda:1")
    assert device_named("cpu") == torch.device("cpu")
    assert device_named(torch.device("meta")) == torch.device("meta")


COMMANDS = {
    "train": ["train", "--model", "ResNet_small", "--data", "gone", "--device"],
    "evaluate": ["evaluate", "SE_ResNet18_vd", "--data", "gone", "--device"],
    "predict": ["predict", "gone.jpg", "--model", "SE_ResNet18_vd", "--device"],
    "optimize": ["optimize", "SE_ResNet18_vd", "--device"],
    "compare": ["compare", "--device"],
    "bench": ["bench", "--devices"],
    "score": ["distill", "score", ".", "--teacher", "SE_ResNet18_vd", "--out", "out", "--device"],
    "student": ["distill", "train", "gone", "--model", "ResNet_small", "--out", "out", "--device"],
    "finetune": ["distill", "finetune", "gone.safetensors", "--labelled", "gone", "--out", "out", "--device"],
    "fixres": ["distill", "fixres", "gone.safetensors", "--labelled", "gone", "--out", "out", "--device"],
    "run": ["distill", "run", "ssld-small", "--out", "out", "--device"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_every_command_refuses_before_it_begins(gpus, command, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(golden, "golden_network", pytest.fail)  # what `optimize` would begin with
    gpus(0)
    for name, sentence in (
        ("gpu", "PyTorch sees no GPU here; use device 'cpu'"),
        ("gpuu", "unknown device 'gpuu': did you mean 'gpu'? Accepted: auto, cpu, cuda, cuda:0, gpu."),
    ):
        done = command(*words, name)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert line.endswith(sentence)
        assert not any(tmp_path.iterdir())
