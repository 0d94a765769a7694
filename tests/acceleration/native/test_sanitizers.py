from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnexus.acceleration.native import compiler

# It compiles the kernels again, which takes minutes.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux" or compiler.find_compiler() is None, reason="g++ or clang++ on Linux"),
]

_DRIVER = "tests.acceleration.native.sanitized"
_ROOT = Path(__file__).parents[3]
_WATCHED = ("-std=c++17", "-O1", "-g1", "-march=native", "-fPIC", "-ffp-contract=fast", "-fno-omit-frame-pointer")


def _runtime(name: str) -> str:
    """Where the compiler keeps a sanitizer's library, which must be there before all others."""
    found = subprocess.run(
        [str(compiler.find_compiler()), f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip(f"the compiler has no {name}")
    return found


@pytest.mark.parametrize(
    ("flags", "runtimes", "random_rows", "threads"),
    [
        (
            ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
            ("libasan.so", "libubsan.so"),
            199,
            ("1", "2"),
        ),
        (("-fsanitize=thread",), ("libtsan.so",), 0, ("2", "3")),
    ],
    ids=["address and undefined behaviour", "threads"],
)
def test_sanitizers_find_nothing(flags, runtimes, random_rows, threads, monkeypatch):
    preload = " ".join(_runtime(name) for name in runtimes)
    monkeypatch.setattr(compiler, "_OPTIONS", (*_WATCHED, *flags))
    library = compiler.library()
    environment = os.environ | {
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps what it has to the end
        "TSAN_OPTIONS": "halt_on_error=1",
        "OMP_NUM_THREADS": "1",
    }
    found = subprocess.run(
        [sys.executable, "-m", _DRIVER, str(library), str(random_rows), *threads],
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout.splitlines()[-1:]) == (0, ["all ran"]), found.stderr[-6000:]
