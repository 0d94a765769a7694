"""Compile the kernels for this processor, with whatever C++ compiler is here."""

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
from resnexus.files import write_bytes

LIBRARY = "kernels.so"

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


def write_library(folder: Path) -> None:
    """Write the compiled kernels, `kernels.so`; they are compiled once in a process.

    Raises:
        BackendError: no compiler, or it fails; the message holds what it says.
    """
    compiler = find_compiler()
    if compiler is None:
        raise BackendError(f"the native kernels cannot be compiled: {no_compiler()}")
    # Never in place: a process may have the file there mapped as its code.
    write_bytes(_compiled(compiler), folder / LIBRARY)


@cache
def _compiled(compiler: str) -> bytes:
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
        library = Path(scratch) / LIBRARY
        _run([compiler, "-shared", "-pthread", *map(str, objects), "-o", str(library)])
        return library.read_bytes()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        reason = errors[0] if errors else f"exit code {done.returncode}"
        raise BackendError(f"{Path(command[0]).name} cannot compile the native kernels: {reason}")
