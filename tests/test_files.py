"""A file is written whole or not at all, by nobody's leave but the system's, and a killed writer leaves nothing."""

import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest

from resnexus import files
from resnexus.errors import ResnexusError
from resnexus.files import check_writable, replacing, sweep, write_text

KILLED = """
import sys, time
from pathlib import Path
from resnexus.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def writer(path):
    """Start a process that is in the middle of writing `path`."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_written_file_obeys_the_umask(tmp_path, umask):
    previous = os.umask(umask)
    try:
        with replacing(tmp_path / "a") as temporary:
            temporary.touch(mode=0o600)  # as safetensors does
        write_text("b", tmp_path / "b")
    finally:
        os.umask(previous)
    for name in "ab":
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_nobody_foresees_or_reaches_the_place_where_it_is_written(tmp_path):
    places = []
    for _ in range(2):
        with replacing(tmp_path / "a.txt") as temporary:
            assert stat.S_IMODE(temporary.parent.stat().st_mode) == 0o700
            assert temporary.name == "a.txt"
            places.append(temporary)
            temporary.write_text("content")
    assert places[0] != places[1]
    # What the name used to be made of is known to everybody.
    (tmp_path / "victim").write_text("kept")
    (tmp_path / f".a.txt.{os.getpid()}.new").symlink_to(tmp_path / "victim")
    write_text("content", tmp_path / "a.txt")
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    write_text("content", tmp_path / "link")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "link").is_symlink()) == ("kept", False)


def test_a_folder_is_not_replaced_which_is_told_before_the_work(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ResnexusError, match=r"cannot write .*a: it is a folder"), replacing(tmp_path / "a"):
        pytest.fail("begun")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    write_text("content", tmp_path / "link")
    assert (tmp_path / "link").read_text() == "content"


def test_a_place_below_a_file_is_told_by_the_files_name(tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    for refused, place in (
        (lambda: write_text("", file / "a"), file / "a"),
        (lambda: check_writable(file), file),
    ):
        with pytest.raises(ResnexusError) as caught:
            refused()
        assert str(caught.value) == f"cannot write {place}: {file} is no folder. Choose another folder or make room"
    assert file.read_text() == "kept"


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    write_text("old", tmp_path / "a")

    def write():
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_file_and_folder_are_on_the_disk_before_it_returns(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text("content", tmp_path / "a")
    assert synced[0].endswith(".new/a")
    assert synced[1:] == [str(tmp_path.resolve())]


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(tmp_path):
    name = "ResNeXt50_32x4d.safetensors"
    with writer(tmp_path / name) as killed, writer(tmp_path / f"SE_{name}") as alive:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (tmp_path / ".other.new").mkdir()
        (tmp_path / ".file.12345678.new").write_text("no folder")
        (tmp_path / ".link.12345678.new").symlink_to(tmp_path / ".other.new")
        files._swept.discard(tmp_path.resolve())
        write_text("whole", tmp_path / name)
        left = {path.name for path in tmp_path.iterdir()}
        (writing,) = left - {name, ".other.new", ".file.12345678.new", ".link.12345678.new"}
        assert writing.startswith(f".SE_{name}.")
        alive.send_signal(signal.SIGKILL)
        alive.wait()
        sweep(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == left - {writing}


def test_a_folder_swept_while_it_was_made_is_made_again(tmp_path, monkeypatch):
    made, opened = [], files._opened

    def swept_at_once(folder):
        made.append(folder)
        if len(made) == 1:
            folder.rmdir()
        return opened(folder)

    write_text("before", tmp_path / "a")  # which sweeps what others left
    monkeypatch.setattr(files, "_opened", swept_at_once)
    write_text("content", tmp_path / "a")
    assert len(set(made)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, monkeypatch):
    write_text("before", tmp_path / "a")
    (tmp_path / ".a.00000000.new").mkdir()
    names = iter(["00000000", "11111111"])
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: next(names))
    write_text("content", tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.00000000.new", "a"]
    assert (tmp_path / "a").read_text() == "content"


def test_an_interruption_while_the_folder_is_made_leaves_none(tmp_path, monkeypatch):
    def interrupted(folder):
        assert folder.is_dir()
        raise KeyboardInterrupt

    write_text("before", tmp_path / "a")
    monkeypatch.setattr(files, "_opened", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text("content", tmp_path / "a")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]


def test_an_interruption_while_the_folder_is_removed_leaves_none(tmp_path, monkeypatch):
    calls, remove = [], shutil.rmtree

    def interrupted(folder, **options):
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(folder, **options)

    write_text("before", tmp_path / "a")
    monkeypatch.setattr(files.shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text("content", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nested_writers_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as outer:
        write_text("inner", outer)
    assert (tmp_path / "a").read_text() == "inner"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
