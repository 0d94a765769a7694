import io
import os
import socket

import pytest

from resnexus.data.images import load_image
from resnexus.data.sources import ImageError, name_of, opened
from resnexus.errors import ResnexusError


def reason(path):
    with pytest.raises(ImageError) as caught, opened(path):
        pass
    assert caught.value.source == name_of(path)
    return caught.value.reason


def test_what_cannot_be_read_never_blocks(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    assert reason(tmp_path / "pipe.png") == "it is a named pipe"
    assert reason(tmp_path / "folder.png") == "it is a folder"
    assert reason(tmp_path / "device.png") == "it is a device"


def test_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        assert reason("socket.png") == "it is a socket"


def test_a_pipe_that_takes_the_place_of_a_file(tmp_path, monkeypatch):
    """Between the look at the path and its opening."""
    pipe, file = tmp_path / "a.png", tmp_path / "b.png"
    os.mkfifo(pipe)
    file.touch()
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: real(file if str(path) == str(pipe) else path, **options))
    assert reason(pipe) == "it is a named pipe"


def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "a.png").symlink_to("gone\x1b.png")
    (tmp_path / "b.png").symlink_to("b.png")
    assert reason(tmp_path / "a.png") == r"a link to gone\x1b.png, which is missing"
    assert reason(tmp_path / "b.png") == "Too many levels of symbolic links"
    assert reason(tmp_path / ("x" * 300)) == "File name too long"
    assert reason("a\0b") == "embedded null byte"


def test_what_may_not_be_read(tmp_path, monkeypatch):
    """Root reads every file, so the system's refusal is played."""

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.png"
    path.touch()
    monkeypatch.setattr(os, "open", refuse)
    assert reason(path) == "permission denied"


def test_names_that_a_terminal_cannot_show(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"\xff\x1b[31m\n.png")
    assert name_of(os.fsdecode(path)) == rf"{tmp_path}/\udcff\x1b[31m\n.png"
    with open(path, "wb"):
        pass
    with pytest.raises(ImageError, match="the file is empty") as caught:
        load_image(os.fsdecode(path))
    assert str(caught.value).isprintable()
    assert caught.value.source == rf"{tmp_path}/\udcff\x1b[31m\n.png"


def test_other_types_are_refused():
    for source, kind in ((3, "int"), (None, "NoneType"), ([], "list")):
        with (
            pytest.raises(ResnexusError, match=f"image of type {kind}: expected a path, the bytes of a file or a"),
            opened(source),
        ):
            pass


def test_a_file_stays_open():
    file = io.BytesIO(b"x")
    with opened(file) as found:
        assert found is file
    assert not file.closed
