from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
import sys
from pathlib import Path

import pytest

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.native import compiler, library
from resnexus.trust import TrustError

# In place of g++: writes a count of its runs, and a file that says what it was made of.
_COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo "pretended 1.0"; exit; fi
echo run >> {folder}/runs
for last; do :; done
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo "compiled" > "$2"; shift; done
"""


@pytest.fixture
def pretended(tmp_path, monkeypatch) -> Path:
    """A compiler that takes no time."""
    path = tmp_path / "pretended"
    path.write_text(_COMPILER.format(folder=tmp_path))
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return tmp_path / "runs"


def _runs(pretended: Path) -> int:
    return len(pretended.read_text().splitlines()) if pretended.exists() else 0


def test_one_library_per_sources_compiler_options_and_processor(pretended, tmp_path, monkeypatch):
    folder = tmp_path / "a" / "kernels"
    path = compiler.library_in(folder)
    runs = _runs(pretended)
    assert runs > 5
    assert compiler.library_in(folder) == path
    assert _runs(pretended) == runs
    assert path.read_text() == "compiled\n"
    content = hashlib.sha256(b"compiled\n").hexdigest()
    assert path.name == f"{compiler.library_key()[:16]}-{content}.so"
    for name, other in (("_OPTIONS", ("-O3",)), ("sources_digest", lambda: "x"), ("processor", lambda: "y")):
        with monkeypatch.context() as patch:
            patch.setattr(compiler, name, other)
            assert compiler.library_in(folder) != path
    assert len(list(folder.glob("*.so"))) == 4


def test_nobody_else_may_read_or_write_what_is_made(pretended, tmp_path):
    before = os.umask(0)
    try:
        path = compiler.library_in(tmp_path / "engines" / "kernels")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_library_is_compiled_again(pretended, tmp_path):
    path = compiler.library_in(tmp_path / "kernels")
    path.write_text("other")
    assert compiler.library_in(tmp_path / "kernels") == path
    assert path.read_text() == "compiled\n"


@pytest.mark.parametrize("of", ["folder", "file"])
def test_what_others_may_write_is_not_taken(of, pretended, tmp_path):
    path = compiler.library_in(tmp_path / "kernels")
    (path if of == "file" else path.parent).chmod(0o777)
    with pytest.raises(TrustError, match="chmod go-w"):
        compiler.library_in(tmp_path / "kernels")


def test_processes_compile_once(pretended, tmp_path):
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()

    def compiled():
        found.put(compiler.library_in(tmp_path / "kernels"))

    processes = [context.Process(target=compiled) for _ in range(2)]
    for process in processes:
        process.start()
    assert found.get() == found.get()
    for process in processes:
        process.join()
    sources = len(list((Path(compiler.__file__).parent / "kernels").glob("*.cpp")))
    assert _runs(pretended) == sources + 1


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'kernels.cpp:1: error: no such instruction' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(BackendError, match=r"broken cannot compile the native kernels: .*no such instruction"):
        compiler.library_in(tmp_path / "kernels")
    assert not list((tmp_path / "kernels").glob("*.so"))


def test_libraries_lie_below_home(monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "home", lambda: tmp_path)
    assert compiler.libraries() == tmp_path / "engines" / "kernels"


def _named(folder: Path, content: bytes) -> Path:
    path = folder / f"key-{hashlib.sha256(content).hexdigest()}.so"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_file_that_is_no_library(tmp_path):
    with pytest.raises(BackendError, match=r"cannot be loaded: .*(file too short|invalid ELF)"):
        library.open_library(_named(tmp_path, b"nothing"))
    with pytest.raises(BackendError, match=r"none\.so cannot be read: No such file"):
        library.open_library(tmp_path / "none.so")


def test_what_is_loaded_is_what_was_checked(tmp_path):
    path = _named(tmp_path, b"nothing")
    path.write_bytes(b"another")
    with pytest.raises(BackendError, match="are damaged: remove the file"):
        library.open_library(path)
    path.chmod(0o666)
    with pytest.raises(TrustError, match="can be written by its group and everybody"):
        library.open_library(path)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors have no paths")
def test_a_library_is_loaded_through_the_checked_descriptor(tmp_path, monkeypatch):
    path = _named(tmp_path, b"nothing")
    loaded = []

    def load(name: str):
        path.unlink()
        path.write_bytes(b"replaced in between")
        loaded.append(Path(name).read_bytes())
        raise OSError("enough")

    monkeypatch.setattr(library.ctypes, "CDLL", load)
    with pytest.raises(BackendError, match="enough"):
        library.open_library(path)
    assert loaded == [b"nothing"]
