"""Bring one file over HTTP: resumed where it stopped, retried, and whole or not there at all."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnexus.errors import ResnexusError

if TYPE_CHECKING:
    from requests import Response, Session

_log = logging.getLogger("resnexus")

_CHUNK_BYTES = 1 << 16  # what is lost when a connection breaks
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be gone a moment later

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole file, None if the server does not say."""


class DownloadError(ResnexusError):
    """A file that could not be brought; the message names its address, the reason and what to do."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a download is given.

    Attributes:
        connect_s: seconds to wait for a connection.
        read_s: seconds to wait for the next bytes.
        retries: attempts after the first.
        delay_s: seconds before the second attempt; doubled before each further one.
        max_delay_s: the longest such wait.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    retries: int = 5
    delay_s: float = 0.5
    max_delay_s: float = 30.0

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt 0, 1, ...; up to a quarter less, so that clients spread."""
        return min(self.max_delay_s, self.delay_s * 2**attempt) * random.uniform(0.75, 1.0)


DEFAULT_PATIENCE = Patience()


def download(
    url: str,
    target: Path,
    *,
    max_bytes: int,
    spare_bytes: int = 0,
    patience: Patience = DEFAULT_PATIENCE,
    progress: bool = True,
) -> None:
    """Bring `url` to `target`.

    What has arrived lies beside the target as `NAME.part` and `NAME.part.json` until it is whole. A later attempt,
    or a later call, asks for the rest alone if the server marks the file with a strong ETag and the mark is still
    the same; otherwise it begins again, so that two versions are never joined.

    Args:
        url: http or https.
        target: the file to make; its folder exists.
        max_bytes: a file that turns out larger is refused.
        spare_bytes: bytes that must stay free on the disk afterwards.
        patience: time-outs and retries.
        progress: draw a progress bar on standard error, if that is a terminal.

    Raises:
        DownloadError: the server has no such file, gave up, or sends something else; or the disk is full.
    """
    import requests

    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _Passing)
    partial = _Partial(target)
    with requests.Session() as session, _bar(target.name, shown=progress) as report:
        for attempt in range(patience.retries + 1):
            try:
                _attempt(session, url, partial, max_bytes, spare_bytes, patience, report)
                break
            except passing as error:
                _wait_or_give_up(url, partial, patience, attempt, error)
            except requests.RequestException as error:
                raise DownloadError(f"cannot fetch {url}: {error}. {_OTHER_SOURCE}") from error
            except OSError as error:
                raise DownloadError(f"cannot write {partial.path}: {error.strerror or error}") from error
    partial.finish()


_OTHER_SOURCE = "Set RESNEXUS_MIRROR to another base address (http, https or file) that holds the file"


class _Passing(Exception):
    """A failure that another attempt may not meet."""


class _Partial:
    """The part of a file that has arrived, and the ETag and size of the file it is a part of."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.mark = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def etag(self, url: str) -> str | None:
        """Return the ETag under which the rest may be asked for, or None if there is nothing to go on from."""
        try:
            mark = json.loads(self.mark.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        usable = isinstance(mark, dict) and mark.get("url") == url and self.size > 0
        return mark["etag"] if usable and isinstance(mark.get("etag"), str) else None

    def begin(self, url: str, etag: str | None) -> None:
        """Forget what was there. The old part goes first: it must never stand beside the new mark."""
        self.path.write_bytes(b"")
        if etag is None:
            self.mark.unlink(missing_ok=True)
            return
        temporary = self.mark.with_name(f"{self.mark.name}.new")
        temporary.write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")
        temporary.replace(self.mark)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def finish(self) -> None:
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.mark.unlink(missing_ok=True)


def _attempt(
    session: Session,
    url: str,
    partial: _Partial,
    max_bytes: int,
    spare_bytes: int,
    patience: Patience,
    report: Report,
) -> None:
    headers = {"Accept-Encoding": "identity"}
    etag = partial.etag(url)
    if etag is not None:
        headers |= {"Range": f"bytes={partial.size}-", "If-Range": etag}
    time_outs = (patience.connect_s, patience.read_s)
    with session.get(url, headers=headers, stream=True, timeout=time_outs) as response:
        _check_response(response, url, partial)
        start, size = _extent(response, etag, partial)
        if start == 0:
            partial.begin(url, _strong_etag(response))
        _check_size(size, url, partial, max_bytes)
        _check_space(partial, (size or 0) - start, spare_bytes)
        with partial.path.open("ab") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                start += len(chunk)
                _check_size(start, url, partial, max_bytes)
                report(start, size)
    if size is not None and start != size:
        raise _Passing(f"{start:,} of {size:,} bytes arrived")


def _check_response(response: Response, url: str, partial: _Partial) -> None:
    status = response.status_code
    if status == 416:
        partial.discard()  # the part is longer than the file now is
        raise _Passing("the file has changed on the server")
    if status in _PASSING:
        raise _Passing(f"the server answers {status} {response.reason}")
    if status not in (200, 206):
        raise DownloadError(f"cannot fetch {url}: the server answers {status} {response.reason}. {_OTHER_SOURCE}")
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise DownloadError(f"cannot fetch {url}: it leads to {response.url}, which is not encrypted")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"cannot fetch {url}: the server compresses it, asked not to. {_OTHER_SOURCE}")


def _extent(response: Response, etag: str | None, partial: _Partial) -> tuple[int, int | None]:
    """Return the position of the first byte that the response brings, and the size of the whole file if known."""
    if response.status_code == 200:
        return 0, _number(response.headers.get("Content-Length", ""))
    start = partial.size
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    size = _number(total)
    if etag is None or response.headers.get("ETag") != etag or size is None or not span.startswith(f"{start}-"):
        partial.discard()
        raise _Passing("the server does not go on with the same file")
    return start, size


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def _strong_etag(response: Response) -> str | None:
    etag = response.headers.get("ETag")
    return etag if etag is not None and etag.startswith('"') else None


def _check_size(size: int | None, url: str, partial: _Partial, max_bytes: int) -> None:
    if size is not None and size > max_bytes:
        partial.discard()
        raise DownloadError(
            f"cannot fetch {url}: it has {size:,} bytes or more, and the file expected there at most {max_bytes:,}"
        )


def _check_space(partial: _Partial, coming: int, spare_bytes: int) -> None:
    folder = partial.path.parent
    free = shutil.disk_usage(folder).free
    if free < coming + spare_bytes:
        raise DownloadError(
            f"{folder} has {free:,} bytes free and {coming + spare_bytes:,} are needed. Make room, or set "
            "RESNEXUS_HOME to a folder on another disk"
        )


def _wait_or_give_up(url: str, partial: _Partial, patience: Patience, attempt: int, error: Exception) -> None:
    reason = str(error) or type(error).__name__
    if attempt == patience.retries:
        kept = f"; {partial.size:,} bytes are kept, and the next call goes on from there" if partial.etag(url) else ""
        raise DownloadError(
            f"cannot fetch {url}: gave up after {attempt + 1} attempts{kept}. The last failure: {reason}. "
            f"{_OTHER_SOURCE}"
        ) from error
    delay = patience.delay(attempt)
    _log.warning("%s: %s; trying again in %.1f s (%d of %d)", url, reason, delay, attempt + 1, patience.retries)
    time.sleep(delay)


@contextmanager
def _bar(label: str, *, shown: bool) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    shown = shown and console.is_terminal
    with Progress(TextColumn("{task.description}"), *columns, console=console, disable=not shown) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
