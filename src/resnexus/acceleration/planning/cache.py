"""Plans and built networks on disk, checked on every use."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from resnexus.acceleration.planning.plan import Plan, PlanError
from resnexus.errors import ResnexusError
from resnexus.home import home
from resnexus.parity.agreement import Agreement

_MANIFEST = "manifest.json"
_UNFINISHED = ".being-written-"
_A_DAY = 86400.0


class CacheWarning(UserWarning):
    """Something in the cache was damaged and is made again."""


@final
class Cache:
    """A folder of plans (small, JSON) and built networks (folders), each under the digest of what it depends on.

    Args:
        folder: made on first use. None: `engines` in the folder that `RESNEXUS_HOME` names, or in the system's place
            for caches.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = home() / "engines" if folder is None else Path(folder).expanduser()
        self._whole: set[Path] = set()

    def read_plan(self, key: Mapping[str, Any]) -> Plan | None:
        """Return the plan for a key, or None; a damaged one is None with a `CacheWarning`."""
        path = self._plan_path(key)
        try:
            return Plan.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (PlanError, UnicodeDecodeError) as error:
            self._warn(f"the stored plan {path} is damaged ({error}); planning again")
            return None

    def write_plan(self, key: Mapping[str, Any], plan: Plan) -> None:
        """Store a plan; an interruption leaves the one before, or none.

        Raises:
            ResnexusError: the folder cannot be written.
        """
        self._write(self._plan_path(key), plan.to_json())

    def read_check(self, key: Mapping[str, Any]) -> Agreement | None:
        """Return the agreement that was found for a key, or None; a damaged one is None with a `CacheWarning`."""
        path = self._check_path(key)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return Agreement(**{name: float(value) for name, value in record.items()})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            self._warn(f"the stored check {path} is damaged ({error}); checking again")
            return None

    def write_check(self, key: Mapping[str, Any], found: Agreement) -> None:
        """Store an agreement; an interruption leaves the one before, or none.

        Raises:
            ResnexusError: the folder cannot be written.
        """
        self._write(self._check_path(key), json.dumps(asdict(found)))

    def find_build(self, key: Mapping[str, Any]) -> Path | None:
        """Return the folder of a built network, or None; a damaged one is None with a `CacheWarning`, and removed.

        The files are read and compared with their digests once in the life of this object.
        """
        folder = self._build_path(key)
        if not folder.is_dir():
            return None
        problem = None if folder in self._whole else _problem(folder)
        if problem is None:
            self._whole.add(folder)
            return folder
        self._warn(f"the built network {folder} is damaged ({problem}); building it again")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for candidates, on the disk of the cache, and remove it afterwards.

        Raises:
            ResnexusError: the folder cannot be written.
        """
        for left in self.folder.glob(f"{_UNFINISHED}*"):  # of processes that were killed
            if time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)
        with self._writing(self.folder) as temporary:
            yield temporary

    def keep_build(self, key: Mapping[str, Any], built: Path) -> Path:
        """Move a built network from a scratch folder to its place; the one that is there already wins.

        Raises:
            ResnexusError: the folder cannot be written.
        """
        target = self._build_path(key)
        try:
            (built / _MANIFEST).write_text(json.dumps(_digests(built)), encoding="utf-8")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(built, target)
        except OSError as error:
            if not target.is_dir():  # otherwise another process was first: a folder with files is not replaced
                raise _unwritable(target.parent, error) from error
        return target

    def _plan_path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / "plans" / f"{digest(key)}.json"

    def _check_path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / "checks" / f"{digest(key)}.json"

    def _build_path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / "built" / digest(key)

    def _write(self, path: Path, text: str) -> None:
        with self._writing(path.parent) as temporary:
            written = temporary / path.name
            written.write_text(text, encoding="utf-8")
            os.replace(written, path)

    @contextmanager
    def _writing(self, folder: Path) -> Iterator[Path]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @staticmethod
    def _warn(message: str) -> None:
        warnings.warn(message, CacheWarning, stacklevel=5)


def _unwritable(folder: Path, error: OSError) -> ResnexusError:
    return ResnexusError(f"cannot write to {folder}: {error.strerror}; give another cache_dir or set RESNEXUS_HOME")


def digest(key: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record of JSON values, the same for any order of its names."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's parameters and buffers, with their names, types and shapes."""
    found = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def images_digest(images: Tensor) -> str:
    """Return the SHA-256 of a tensor of images."""
    return hashlib.sha256(f"{tuple(images.shape)}\n".encode() + _bytes(images)).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _MANIFEST:
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _problem(folder: Path) -> str | None:
    try:
        expected = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"its manifest cannot be read: {error}"
    found = _digests(folder)
    if not isinstance(expected, dict) or found.keys() != expected.keys():
        return "files are missing or left over"
    changed = [name for name, value in found.items() if value != expected[name]]
    return f"changed: {', '.join(changed)}" if changed else None
