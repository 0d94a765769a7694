"""Bring one image over HTTP, within limits: where it may lie, how large it may be, how long it may take.

An address is checked after its name was looked up, and the connection goes to what was checked, so that a name which
leads elsewhere the next moment reaches nothing. Redirects are followed by hand, each checked like the first. Proxies
and passwords of the environment are not used.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from resnexus.data.error_codes import ErrorCode

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

_REDIRECTS = (301, 302, 303, 307, 308)
_PART_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}
AGENT = "resnexus"


class FetchError(Exception):
    """An address that gives no image.

    Attributes:
        code: why.
    """

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """What an address may ask for.

    Attributes:
        private: whether it may lead into private networks and to this machine, and to stores that name a machine.
        max_bytes: largest file.
        max_redirects: how often it may lead elsewhere.
        seconds: for all of it; a server that is slow with its headers is bounded by `silence_s` alone.
        silence_s: for a connection, and between two parts.
    """

    private: bool = False
    max_bytes: int = 2**28
    max_redirects: int = 5
    seconds: float = 30.0
    silence_s: float = 10.0


def fetch_image(url: str, limits: FetchLimits, clock: Callable[[], float] = time.monotonic) -> bytes:
    """Return the bytes of a file.

    Args:
        url: http or https.
        limits: to keep.
        clock: seconds.

    Raises:
        FetchError: the address is refused, the server does not give the file, or it exceeds a limit.
    """
    import requests
    from urllib3 import exceptions as urllib3

    deadline = clock() + limits.seconds
    try:
        with _session(limits) as session:
            for _ in range(limits.max_redirects + 1):
                _check_scheme(url)
                headers = {"Host": _netloc(url)}  # the connection itself goes to a number
                with session.get(url, headers=headers, stream=True, timeout=limits.silence_s) as response:
                    if response.status_code not in _REDIRECTS:
                        return _body(response, limits, deadline, clock)
                    url = urljoin(url, _as_utf8(response.headers.get("Location", "")))
    except (requests.Timeout, urllib3.TimeoutError) as error:
        raise FetchError(ErrorCode.TIMED_OUT) from error
    except (
        requests.RequestException,
        urllib3.HTTPError,
        OSError,
        ValueError,
    ) as error:  # ValueError: a host that is no host
        raise FetchError(ErrorCode.FETCH_FAILED) from error
    raise FetchError(ErrorCode.FETCH_FAILED)


def checked_address(host: str, port: int, *, private: bool) -> str:
    """Return the first numeric address of a host.

    Raises:
        FetchError: any of its addresses is in a private network, of this machine or reserved, or there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(ErrorCode.FETCH_FAILED) from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not private and not all(map(_is_public, addresses)):
        raise FetchError(ErrorCode.ADDRESS_REFUSED)
    return addresses[0]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_global and not address.is_multicast


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise FetchError(ErrorCode.ADDRESS_REFUSED)


def _netloc(url: str) -> str:
    """Return host and port of an address as they are asked for: a name of other letters than ASCII's in IDNA's."""
    import requests

    return urlsplit(str(requests.Request("GET", url).prepare().url)).netloc


def _as_utf8(header: str) -> str:
    """Return a header that was taken for Latin-1, as all are, in UTF-8, which servers send, if it is."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _session(limits: FetchLimits) -> Session:
    import requests
    from requests.adapters import HTTPAdapter

    class Checked(HTTPAdapter):
        """Connects to the address that was checked, in the name of the host."""

        def build_connection_pool_key_attributes(
            self, request: PreparedRequest, verify: Any, cert: Any = None
        ) -> tuple[Any, Any]:
            found = super().build_connection_pool_key_attributes(request, verify, cert)
            where: dict[str, Any] = {**found[0]}
            how: dict[str, Any] = {**found[1]}
            host, scheme = str(where["host"]).strip("[]"), where["scheme"]
            address = checked_address(host, where["port"] or _PORTS[scheme], private=limits.private)
            if scheme == "https":
                how |= {"server_hostname": host, "assert_hostname": host}
            return {**where, "host": address}, how

    class Direct(requests.Session):
        """Follows no redirects by itself: it would read their bodies, however long."""

        def get_redirect_target(self, resp: Response) -> None:
            return None

    session = Direct()
    session.trust_env = False
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": AGENT})
    for scheme in _PORTS:
        session.mount(f"{scheme}://", Checked())
    return session


def _body(response: Response, limits: FetchLimits, deadline: float, clock: Callable[[], float]) -> bytes:
    if response.status_code != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError(ErrorCode.FETCH_FAILED)
    declared = response.headers.get("Content-Length", "")
    expected = int(declared) if declared.isdecimal() and len(declared) < 19 else None
    if expected is not None and expected > limits.max_bytes:
        raise FetchError(ErrorCode.TOO_LARGE)
    parts, size = list[bytes](), 0
    # read1 returns what has arrived: a server that sends a byte a second cannot hold it beyond the deadline.
    while part := response.raw.read1(_PART_BYTES):
        parts.append(part)
        size += len(part)
        if size > limits.max_bytes:
            raise FetchError(ErrorCode.TOO_LARGE)
        if clock() > deadline:
            raise FetchError(ErrorCode.TIMED_OUT)
    if expected is not None and size != expected:
        raise FetchError(ErrorCode.FETCH_FAILED)
    return b"".join(parts)
