import json
import subprocess

import pytest

from resnexus.training.starts import git_state, note_start
from resnexus.version import __version__


def git(folder, *words):
    name = ("-c", "user.name=n", "-c", "user.email=n@example.org")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def test_every_start_is_added(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (["train", "--out", "a b"], ["train"]):
        monkeypatch.setattr("sys.argv", arguments)
        note_start(tmp_path)
    first, second = json.loads((tmp_path / "starts.json").read_text())
    assert (first["command"], second["command"]) == ("train --out 'a b'", "train")
    assert first["resnexus"] == __version__
    assert {"torch", "torchvision", "lightning", "numpy", "python", "processor", "time"} <= set(first)


@pytest.mark.parametrize("text", ["{", "null", "{}", "[1]", "[" * 100_000])
def test_a_damaged_file_is_set_aside(tmp_path, text):
    (tmp_path / "starts.json").write_text(text)
    note_start(tmp_path)
    assert len(json.loads((tmp_path / "starts.json").read_text())) == 1
    assert (tmp_path / "starts.json.damaged").read_text() == text


def test_the_state_of_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    git(tmp_path, "init")
    assert git_state(tmp_path) is None  # without a commit
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "One")
    clean = git_state(tmp_path)
    assert (len(clean["commit"]), clean["changed"]) == (40, False)
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == clean | {"changed": True}
