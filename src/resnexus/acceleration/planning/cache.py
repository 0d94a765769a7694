"""Plans, checks and built networks on disk, each under the digest of what it depends on."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any, TypeVar, final

from resnexus.acceleration.planning.builds import REMOVED, Builds, CacheError, CacheWarning, unwritable
from resnexus.acceleration.planning.digests import digest
from resnexus.acceleration.planning.plan import Check, Plan
from resnexus.acceleration.planning.space import space_errors
from resnexus.errors import ResnexusError, printable
from resnexus.home import home
from resnexus.records import RecordError, from_json, to_json
from resnexus.trust import check_own

BYTES_VARIABLE = "RESNEXUS_ENGINES_BYTES"
MOST_BYTES = 4 << 30
"""What built networks may take together where the variable names nothing else."""

_UNFINISHED = ".being-written-"
_A_DAY = 86400.0

Record = TypeVar("Record")


@final
class EngineCache:
    """A folder of plans and checks (small, JSON) and built networks (folders).

    What lies there is loaded as code, so the folder and all in it must be ours and nobody else's to write; it is
    made that way.

    Args:
        folder: made on first use. None: `engines` in the folder that `RESNEXUS_HOME` names, or in the system's place
            for caches.
        most_bytes: what built networks may take together; as many as `RESNEXUS_ENGINES_BYTES` says, or 4 GiB, if
            None. Beyond that those that were used least recently are removed. What a process has opened goes on.

    Raises:
        ResnexusError: a number of bytes that is none.
    """

    def __init__(self, folder: str | Path | None = None, most_bytes: int | None = None) -> None:
        self.folder = home() / "engines" if folder is None else Path(folder).expanduser()
        self.builds = Builds(self.folder / "built", _most_bytes() if most_bytes is None else most_bytes)

    def read_plan(self, key: Mapping[str, Any]) -> Plan | None:
        """Return the plan for a key, or None; a damaged one is None with a `CacheWarning`.

        Raises:
            CacheError: the folder cannot be read.
            TrustError: it is somebody else's, or others may write there.
        """
        return self._read(Plan, "plans", key, "planning again")

    def write_plan(self, key: Mapping[str, Any], plan: Plan) -> None:
        """Store a plan; an interruption leaves the one before, or none.

        Raises:
            CacheError: the folder cannot be written.
            NoSpaceError: the disk is full.
        """
        self._write(plan, "plans", key)

    def read_check(self, key: Mapping[str, Any]) -> Check | None:
        """Return what was found for a key, or None; damage and errors as for plans."""
        return self._read(Check, "checks", key, "checking again")

    def write_check(self, key: Mapping[str, Any], found: Check) -> None:
        """Store a check; interruptions and errors as for plans."""
        self._write(found, "checks", key)

    def find_build(self, key: Mapping[str, Any]) -> Path | None:
        """Return a path to a built network, or None; see `Builds.find`."""
        self._check_folders("built")
        return self.builds.find(digest(key))

    def keep_build(self, key: Mapping[str, Any], built: Path) -> Path:
        """Move a built network from a scratch folder to its place, and return a path to it; see `Builds.keep`."""
        return self.builds.keep(digest(key), built)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for candidates, on the disk of the cache, and remove it afterwards.

        Raises:
            CacheError: the folder cannot be written.
            NoSpaceError: the disk is full.
        """
        self._sweep()
        with self._writing(self.folder) as temporary:
            yield temporary

    @contextmanager
    def alone(self, key: Mapping[str, Any], wait: Callable[[], object]) -> Iterator[None]:
        """Let no other process or thread into this block for the same key.

        Args:
            key: what the block works on.
            wait: called before waiting for another that is in there.

        Raises:
            CacheError: the folder cannot be written.
            NoSpaceError: the disk is full.
        """
        from filelock import FileLock, Timeout

        folder = self.folder / "locks"
        self._make(folder)
        lock = FileLock(folder / f"{digest(key)}.lock", mode=0o600)
        with space_errors(folder):
            try:
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    wait()
                    lock.acquire()
            except OSError as error:
                raise unwritable(folder, error) from error
        try:
            yield
        finally:
            lock.release()

    def clear(self) -> int:
        """Remove plans, checks and built networks, and return how many bytes the built networks took.

        What another process is just opening stays, and what one has opened goes on.

        Raises:
            CacheError: the folder cannot be written.
            TrustError: it is somebody else's, or others may write there.
        """
        self._check_folders("built", "plans", "checks")
        freed = self.builds.remove_all()
        self._sweep()
        for kind in ("plans", "checks"):
            for path in (self.folder / kind).glob("*.json"):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise unwritable(path.parent, error) from error
        return freed

    def _read(self, kind: type[Record], folder: str, key: Mapping[str, Any], remedy: str) -> Record | None:
        path = self.folder / folder / f"{digest(key)}.json"
        self._check_folders(folder)
        try:
            check_own(path)
            return from_json(kind, path.read_text(encoding="utf-8"), where=str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        except (RecordError, UnicodeDecodeError) as error:
            what = printable(path) if isinstance(error, UnicodeDecodeError) else ""
            message = f"the stored {kind.__name__.lower()} is damaged ({what}{error}); {remedy}"
            warnings.warn(message, CacheWarning, stacklevel=5)
            return None

    def _write(self, record: Plan | Check, folder: str, key: Mapping[str, Any]) -> None:
        path = self.folder / folder / f"{digest(key)}.json"
        with space_errors(path.parent), self._writing(path.parent) as temporary:
            try:
                written = temporary / path.name
                written.write_text(to_json(record) + "\n", encoding="utf-8")
                written.chmod(0o600)
                os.replace(written, path)
            except OSError as error:
                raise unwritable(path.parent, error) from error

    def _check_folders(self, *below: str) -> None:
        """Check whose the folders are, as far as they are there."""
        for folder in (self.folder, *(self.folder / name for name in below)):
            try:
                check_own(folder)
                if not folder.is_dir():
                    raise CacheError(f"{printable(folder)} is no folder: give another cache_dir or set RESNEXUS_HOME")
            except FileNotFoundError:
                return
            except OSError as error:
                raise _unreadable(folder, error) from error

    def _make(self, folder: Path) -> None:
        try:
            for part in (self.folder, folder):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_own(part)
        except OSError as error:
            with space_errors(folder.parent):
                raise unwritable(folder, error) from error

    @contextmanager
    def _writing(self, folder: Path) -> Iterator[Path]:
        self._make(folder)
        try:
            temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        except OSError as error:
            with space_errors(folder):
                raise unwritable(folder, error) from error
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what processes that were killed left behind, after a day."""
        places = (self.folder, self.folder / "plans", self.folder / "checks")
        for place, prefix in product(places, (_UNFINISHED, REMOVED)):
            for left in place.glob(f"{prefix}*"):
                with suppress(OSError):  # another process may be doing the same
                    if time.time() - left.stat().st_mtime > _A_DAY:
                        shutil.rmtree(left, ignore_errors=True)


def _unreadable(path: Path, error: OSError) -> CacheError:
    return CacheError(f"cannot read {printable(path)}: {error.strerror}; give another cache_dir or set RESNEXUS_HOME")


def _most_bytes() -> int:
    value = os.environ.get(BYTES_VARIABLE)
    if not value:
        return MOST_BYTES
    if not value.isascii() or not value.isdigit():
        raise ResnexusError(
            f"{BYTES_VARIABLE}={printable(value)}: expected a whole number of bytes, such as {MOST_BYTES}"
        )
    return int(value)
