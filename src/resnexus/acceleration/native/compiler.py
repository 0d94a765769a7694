"""Compile the kernels for this processor, with whatever C++ compiler is here: once for all networks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from resnexus.acceleration.backends.contract import BackendError
from resnexus.errors import ResnexusError
from resnexus.files import replacing
from resnexus.home import home
from resnexus.machine import processor
from resnexus.trust import check_own

_PACKAGE = "resnexus.acceleration.native"

_COMPILERS = ("g++", "clang++", "c++")
_OPTIONS = ("-std=c++17", "-O2", "-march=native", "-fPIC", "-ffp-contract=fast")


def find_compiler() -> str | None:
    """Return the C++ compiler: the one that CXX names, or g++, clang++ or c++; None if there is none."""
    named = os.environ.get("CXX")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, _COMPILERS)), None)


def no_compiler() -> str:
    """Return why `find_compiler` finds none, and what to do."""
    named = os.environ.get("CXX")
    if named:
        return f"CXX={named!r} is no program here: let it name a C++ compiler alone, or unset it"
    return "there is no C++ compiler: install g++ or clang++, or name one in CXX"


@cache
def compiler_version(compiler: str) -> str:
    """Return the first line of what a compiler says of itself."""
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0] or compiler


@cache
def sources_digest() -> str:
    """Return the SHA-256 of the kernels' sources."""
    digest = hashlib.sha256()
    for source in sorted((files(_PACKAGE) / "kernels").iterdir(), key=lambda source: source.name):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def library_key() -> str:
    """Return the SHA-256 of what a library is made of: the sources, the compiler, its options, the processor.

    Raises:
        BackendError: there is no compiler.
    """
    made_of = [sources_digest(), compiler_version(_compiler()), *_OPTIONS, processor()]
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()


def library() -> Path:
    """Return the library of this user on this machine, which all networks share; errors as for `library_in`."""
    return library_in(libraries())


def libraries() -> Path:
    """Return the folder of the libraries: `engines/kernels` in the folder that `home` returns."""
    return home() / "engines" / "kernels"


def libraries_bytes() -> int:
    """Return how many bytes the compiled kernels of this user take."""
    return sum(path.stat().st_size for path in libraries().glob("*.so"))


def remove_libraries() -> int:
    """Remove the compiled kernels of this user, and return how many bytes they took; who has them open goes on.

    Raises:
        TrustError: somebody else may write to the folder.
        ResnexusError: it cannot be written.
    """
    folder, size = libraries(), libraries_bytes()
    if size:
        check_own(folder)
    for path in folder.glob("*.so"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ResnexusError(f"cannot remove {path}: {error.strerror}") from error
    return size


def library_in(folder: Path) -> Path:
    """Return the compiled kernels in a folder; they are compiled first unless they are there.

    The name of the file holds `library_key` and the SHA-256 of the file. One process compiles, others wait for it.

    Args:
        folder: made if it is missing, with the one that holds it, for this user alone.

    Raises:
        BackendError: there is no compiler, or it fails; the message holds what it says.
        TrustError: somebody else may write to the folder or the file.
        ResnexusError: the folder cannot be made or written.
    """
    from filelock import FileLock

    key = library_key()
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # which the cache of built networks shares
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ResnexusError(f"cannot make {folder}: {error.strerror}; set RESNEXUS_HOME to another folder") from error
    check_own(folder)
    found = _whole(folder, key)
    if found is None:
        with FileLock(folder / f"{key[:16]}.lock"):
            found = _whole(folder, key) or _compile(folder, key)
    return found


def digest_of(path: Path) -> str:
    """Return the SHA-256 that the name of a library holds."""
    return path.stem.rpartition("-")[2]


def _whole(folder: Path, key: str) -> Path | None:
    """Return the library if it is there and is what its name says."""
    for path in sorted(folder.glob(f"{key[:16]}-*.so")):
        check_own(path)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == digest_of(path):
                return path
    return None


def _compiler() -> str:
    compiler = find_compiler()
    if compiler is None:
        raise BackendError(f"the native kernels cannot be compiled: {no_compiler()}")
    return compiler


def _compile(folder: Path, key: str) -> Path:
    compiler = _compiler()
    with (
        as_file(files(_PACKAGE) / "kernels") as sources,
        tempfile.TemporaryDirectory() as scratch,
    ):
        units = sorted(sources.glob("*.cpp"))
        objects = [Path(scratch) / f"{unit.stem}.o" for unit in units]
        commands = [
            [compiler, *_OPTIONS, "-c", str(unit), "-o", str(made)] for unit, made in zip(units, objects, strict=True)
        ]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(_run, commands))
        linked = Path(scratch) / "kernels.so"
        _run([compiler, *_OPTIONS, "-shared", "-pthread", *map(str, objects), "-o", str(linked)])
        content = linked.read_bytes()
    path = folder / f"{key[:16]}-{hashlib.sha256(content).hexdigest()}.so"
    # Never in place: a process may have the file there mapped as its code.
    with replacing(path, mode=0o600) as temporary:
        temporary.write_bytes(content)
    return path


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        reason = errors[0] if errors else f"exit code {done.returncode}"
        raise BackendError(f"{Path(command[0]).name} cannot compile the native kernels: {reason}")
