from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

from resnexus.acceleration.planning import builds as module
from resnexus.acceleration.planning.builds import Builds, CacheError, CacheWarning, Held
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.trust import TrustError

NAME = "a" * 64
FILES = {"model.bin": b"weights", "deep/model.xml": b"graph"}
MUCH = 1 << 30


@pytest.fixture
def builds(tmp_path) -> Builds:
    return Builds(tmp_path / "engines" / "built", MUCH)


def _kept(builds, name=NAME, files=FILES):
    scratch = builds.folder.parent / f"scratch-{name}"
    for path, content in files.items():
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).write_bytes(content)
    return builds.keep(name, scratch)


def _content(folder) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != "manifest.json"}


def _again(builds) -> Builds:
    return Builds(builds.folder, builds.most_bytes)


def test_builds_are_found_again(builds):
    assert builds.find(NAME) is None
    assert _content(_kept(builds)) == FILES
    assert _content(builds.find(NAME)) == FILES
    assert _content(_again(builds).find(NAME)) == FILES
    assert builds.find("b" * 64) is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.bin").write_bytes(b"weightz"), r"changed: model.bin"),
        (lambda folder: (folder / "model.bin").unlink(), r"missing or left over"),
        (lambda folder: (folder / "more").write_bytes(b""), r"missing or left over"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("3"), r"manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), r"manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {"model.bin": 3}}'), r"cannot be read"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), r"link is a link"),
        (lambda folder: shutil.rmtree(folder) or folder.write_bytes(b""), r"is damaged \(it is no folder"),
        (lambda folder: folder.rename(f"{folder}.b") and folder.symlink_to(f"{folder}.b"), r"it is no folder"),
    ],
)
def test_damaged_builds_are_said_and_removed(damage, message, builds):
    _kept(builds)
    damage(builds.folder / NAME)
    builds = _again(builds)
    with pytest.warns(CacheWarning, match=message):
        assert builds.find(NAME) is None
    assert not os.path.lexists(builds.folder / NAME)
    assert builds.find(NAME) is None
    assert _content(_kept(builds)) == FILES
    assert list(builds.folder.parent.glob(".being*")) == []


def test_the_first_of_two_processes_wins(builds):
    _kept(builds)
    second = _again(builds)
    found = _kept(second, files={"model.bin": b"the same, built a moment later"})
    assert _content(found) == FILES
    assert _content(second.find(NAME)) == FILES


def test_what_was_put_there_damaged_meanwhile_is_replaced(builds):
    _kept(builds)
    (builds.folder / NAME / "model.bin").write_bytes(b"weightz")
    with pytest.warns(CacheWarning, match=r"changed: model.bin"):
        assert _content(_kept(_again(builds))) == FILES
    assert _content(_again(builds).find(NAME)) == FILES


def test_a_damaged_build_that_cannot_be_removed_is_never_loaded(builds, monkeypatch):
    _kept(builds)
    (builds.folder / NAME / "model.bin").write_bytes(b"weightz")
    monkeypatch.setattr(module, "_put_aside", lambda folder: False)
    builds = _again(builds)
    with pytest.warns(CacheWarning, match=r"changed: model.bin"):
        assert builds.find(NAME) is None
    with pytest.warns(CacheWarning) as caught:
        found = _kept(builds)
    assert "what was built is not kept: " in str(caught[-1].message)
    assert _content(found) == FILES
    assert found == builds.folder.parent / f"scratch-{NAME}"
    assert (builds.folder / NAME / "model.bin").read_bytes() == b"weightz"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system has no /proc")
def test_what_is_loaded_is_what_was_checked(builds, tmp_path):
    _kept(builds)
    found = _again(builds)
    path = found.find(NAME)
    (builds.folder / NAME).rename(tmp_path / "away")
    (builds.folder / NAME).mkdir()
    (builds.folder / NAME / "model.bin").write_bytes(b"somebody else's")
    assert _content(path) == FILES
    assert found.find(NAME) == path


@pytest.mark.parametrize("path", ["", "model.bin", "manifest.json", "deep", "deep/model.xml"])
@pytest.mark.parametrize(("mode", "who"), [(0o020, "its group"), (0o002, "everybody")])
def test_a_build_that_others_may_write_is_refused(path, mode, who, builds):
    _kept(builds)
    changed = builds.folder / NAME / path
    changed.chmod(changed.stat().st_mode | mode)
    with pytest.raises(TrustError, match=rf"{changed} of .* can be written by {who}.* chmod go-w {changed}"):
        _again(builds).find(NAME)
    changed.chmod(changed.stat().st_mode & ~mode)
    assert _again(builds).find(NAME) is not None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("path", ["", "model.bin", "deep"])
def test_a_build_of_somebody_else_is_refused(path, builds):
    _kept(builds)
    os.chown(builds.folder / NAME / path, 12345, -1)
    with pytest.raises(TrustError, match=r"belongs to user 12345"):
        _again(builds).find(NAME)


def _used_in_this_order(builds, *names):
    for age, name in enumerate(reversed(names)):
        os.utime(builds.folder / name / "manifest.json", (1e9 - age,) * 2)


def _there(builds) -> list[str]:
    return sorted(path.name[0] for path in builds.folder.iterdir())


def test_beyond_the_size_the_least_recently_used_go(builds):
    a, b, c, d = (letter * 64 for letter in "abcd")
    for name in (a, b, c):
        _kept(builds, name, {"model.bin": b"x" * 1000})
    _used_in_this_order(builds, b, a, c)
    few = Builds(builds.folder, 3600)
    builds._held.clear()
    assert few.find(b) is not None  # used now, so a is the oldest
    del few
    few = Builds(builds.folder, 3600)
    _kept(few, d, {"model.bin": b"x" * 1000})
    assert _there(few) == ["b", "c", "d"]
    few = Builds(builds.folder, 1)
    _kept(few, a, {"model.bin": b"x" * 1000})
    assert _there(few) == ["a"]  # what was used last stays
    assert list(builds.folder.parent.glob(".being*")) == []


def test_what_is_being_opened_is_not_removed(builds):
    a, b, c = (letter * 64 for letter in "abc")
    for name in (a, b):
        _kept(builds, name)
    builds._held.clear()
    opening = _again(builds)
    found = opening.find(a)
    _used_in_this_order(builds, a, b)
    _kept(Builds(builds.folder, 1), c)
    assert _there(builds) == ["a", "c"]
    assert _content(found) == FILES
    assert _again(builds).remove_all() > 0
    assert _there(builds) == ["a"]
    opening._held.clear()
    assert builds.remove_all() > 0
    assert _there(builds) == []
    assert builds.remove_all() == 0


def test_another_process_holds_what_it_opens(builds):
    _kept(builds)
    builds._held.clear()
    code = (
        "import sys; from pathlib import Path; from resnexus.acceleration.planning.builds import Held\n"
        f"held = Held(Path({str(builds.folder / NAME)!r})); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert builds.remove_all() == 0
        other.stdin.close()
        assert other.wait(60) == 0
    assert builds.remove_all() > 0


def test_a_folder_that_is_no_longer_there_is_not_held(tmp_path):
    with pytest.raises(FileNotFoundError):
        Held(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        Held(tmp_path / "link")


def test_a_built_network_that_cannot_be_kept(builds, monkeypatch):
    def refuse(number, words):
        def fail(*names):
            raise OSError(number, words)

        monkeypatch.setattr("resnexus.acceleration.planning.builds.os.replace", fail)

    refuse(errno.EROFS, "Read-only file system")
    with pytest.raises(CacheError, match=r"cannot write to .*built: Read-only file system; give another cache_dir"):
        _kept(builds)
    refuse(errno.ENOSPC, "No space left on device")
    with pytest.raises(NoSpaceError, match=r"no space left on the disk of .*built: make room"):
        _kept(builds)
