"""Bring one file over HTTP: resumed where it stopped, retried, and whole or not there at all."""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from resnexus.errors import ResnexusError, printable
from resnexus.progress import Progress, Silent
from resnexus.records import RecordError, read_json, write_json

if TYPE_CHECKING:
    from requests import Response, Session

_log = logging.getLogger("resnexus")

_CHUNK_BYTES = 1 << 16  # what is lost when a connection breaks
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be gone a moment later
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 30
_MEGABYTE = 10**6

OTHER_SOURCE = "Set RESNEXUS_MIRROR to another base address (http, https or file) that holds the file"


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
    progress: Progress | None = None,
    elsewhere: str = OTHER_SOURCE,
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
        progress: told the megabytes as they arrive; nothing is shown if None.
        elsewhere: what errors say of where else the file may be had.

    Raises:
        DownloadError: the server has no such file, gave up, or sends something else; or the disk is full.
    """
    import requests

    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _Passing)
    partial = _Partial(target, elsewhere)
    progress = Silent() if progress is None else progress
    with _session() as session:
        for attempt in range(patience.retries + 1):
            try:
                _attempt(session, url, partial, max_bytes, spare_bytes, patience, progress)
                break
            except passing as error:
                _wait_or_give_up(url, partial, patience, attempt, error)
            except requests.RequestException as error:
                raise DownloadError(f"cannot fetch {url}: {_reason(error)}. {elsewhere}") from error
            except OSError as error:
                raise DownloadError(f"cannot write {partial.path}: {error.strerror or error}") from error
    partial.finish()


def _session() -> Session:
    """Return a session that follows no redirects: to follow one, requests would read its body, however long it is."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: Response) -> None:
            return None

    return Session()


class _Passing(Exception):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a part of a file is a part of, kept beside it as JSON."""

    url: str
    etag: str


class _Partial:
    """The part of a file that has arrived, and the ETag and size of the file it is a part of."""

    def __init__(self, target: Path, elsewhere: str) -> None:
        self.target, self.elsewhere = target, elsewhere
        self.path = target.with_name(f"{target.name}.part")
        self.mark = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def etag(self, url: str) -> str | None:
        """Return the ETag under which the rest may be asked for, or None if there is nothing to go on from."""
        if not self.mark.is_file():
            return None
        try:
            mark = read_json(Mark, self.mark)
        except RecordError as error:
            _log.warning("%s; the download begins again", error)
            return None
        return mark.etag if mark.url == url and self.size > 0 else None

    def begin(self, url: str, etag: str | None) -> None:
        """Forget what was there. The old part goes first: it must never stand beside the new mark."""
        self.path.write_bytes(b"")
        if etag is None:
            self.mark.unlink(missing_ok=True)
            return
        write_json(Mark(url=url, etag=etag), self.mark)

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
    progress: Progress,
) -> None:
    headers = {"Accept-Encoding": "identity"}
    etag = partial.etag(url)
    if etag is not None:
        headers |= {"Range": f"bytes={partial.size}-", "If-Range": etag}
    with _response(session, url, headers, patience, partial.elsewhere) as response:
        _check_response(response, url, partial)
        start, size = _extent(response, etag, partial)
        if start == 0:
            partial.begin(url, _strong_etag(response))
        _check_size(size, url, partial, max_bytes)
        _check_space(partial, (size or 0) - start, spare_bytes)
        megabytes = -(-(size or max_bytes) // _MEGABYTE)
        with partial.path.open("ab") as file, progress.stage(f"{partial.target.name}, MB", megabytes) as advance:
            advance(start // _MEGABYTE)
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                before, start = start, start + len(chunk)
                _check_size(start, url, partial, max_bytes)
                if steps := _steps(start, size) - _steps(before, size):
                    advance(steps)
    if size is not None and start != size:
        raise _Passing(f"{start:,} of {size:,} bytes arrived")


def _steps(done: int, size: int | None) -> int:
    """Return the megabytes that count as done: whole ones, and the rest of the file when it is there."""
    return -(-done // _MEGABYTE) if done == size else done // _MEGABYTE


@contextmanager
def _response(
    session: Session, url: str, headers: dict[str, str], patience: Patience, elsewhere: str
) -> Iterator[Response]:
    """Give the answer to a request, led on by hand: the body of an answer that leads elsewhere is never read.

    Raises:
        DownloadError: the address leads out of encryption, to no address, or on and on.
    """
    at = url
    for _ in range(_MAX_REDIRECTS + 1):
        time_outs = (patience.connect_s, patience.read_s)
        with session.get(at, headers=headers, stream=True, timeout=time_outs) as response:
            if response.status_code not in _REDIRECTS:
                yield response
                return
            at = urljoin(at, response.headers.get("Location", ""))
        scheme = urlsplit(at).scheme
        if scheme not in ("http", "https") or (urlsplit(url).scheme == "https" and scheme == "http"):
            what = "not encrypted" if scheme == "http" else "neither http nor https"
            raise DownloadError(f"cannot fetch {url}: it leads to {printable(at)}, which is {what}")
    raise DownloadError(f"cannot fetch {url}: Exceeded {_MAX_REDIRECTS} redirects. {elsewhere}")


def _check_response(response: Response, url: str, partial: _Partial) -> None:
    status, told = response.status_code, printable(f"{response.status_code} {response.reason}")[:80]
    if status == 416:
        partial.discard()  # the part is longer than the file now is
        raise _Passing("the file has changed on the server")
    if status in _PASSING:
        raise _Passing(f"the server answers {told}")
    if status not in (200, 206):
        raise DownloadError(f"cannot fetch {url}: the server answers {told}. {partial.elsewhere}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"cannot fetch {url}: the server compresses it, asked not to. {partial.elsewhere}")


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
    reason = _reason(error)
    if attempt == patience.retries:
        kept = f"; {partial.size:,} bytes are kept, and the next call goes on from there" if partial.etag(url) else ""
        raise DownloadError(
            f"cannot fetch {url}: gave up after {attempt + 1} attempts{kept}. The last failure: {reason}. "
            f"{partial.elsewhere}"
        ) from error
    delay = patience.delay(attempt)
    again = f"trying again in {delay:.1f} s ({attempt + 1} of {patience.retries})"
    _log.warning("%s: %s; %s", partial.target.name, reason, again)
    time.sleep(delay)


def _reason(error: BaseException) -> str:
    """Return in a few words what went wrong: the system's own, which requests and urllib3 wrap in theirs."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        wrapped = [getattr(found, "reason", None), *found.args, found.__cause__, found.__context__]
        found = next((item for item in wrapped if isinstance(item, BaseException)), None)
    if any("timeout" in type(item).__name__.lower() for item in seen):
        return "timed out: the server is silent"
    told = next((item.strerror for item in reversed(seen) if isinstance(item, OSError) and item.strerror), None)
    if told is None and any("Protocol" in type(item).__name__ for item in seen):
        told = "the connection broke off"
    text = printable(told or str(seen[-1]) or type(error).__name__)
    return text if len(text) <= 160 else text[:157] + "..."
