"""Read one image from what fsspec opens, if its address may be followed.

A store is a service whose place the settings of this machine say: its addresses name a bucket, and no machine. Other
addresses name the machine itself, such as `ftp://HOST`, or hold a second address, as `zip://a.jpg::http://HOST` does.
Nobody checks where those lead, so they are followed only where private networks may be reached.
"""

from __future__ import annotations

from resnexus.data.error_codes import ErrorCode
from resnexus.data.images import MAX_BYTES
from resnexus.errors import printable
from resnexus.packages import MissingPackageError, required
from resnexus.prediction.fetching import FetchError

STORES = frozenset(
    ("abfs", "abfss", "az", "file", "gcs", "gs", "hf", "local", "memory", "oci", "ocilake", "oss", "s3", "s3a", "tos")
)
"""Schemes of addresses that name no machine, in lower case."""
_HERE = ("file", "local")
CHAIN = "::"
"""What fsspec takes for the end of one address and the beginning of the next."""


def read_stored(url: str, *, private: bool) -> bytes:
    """Return the bytes of a file.

    Args:
        url: what fsspec opens.
        private: whether the address may name a machine itself, or hold another address.

    Raises:
        FetchError: the address is refused, the store does not give the file, or it is larger than `MAX_BYTES`.
        MissingPackageError: fsspec is not installed, or what it needs for this store: no image of it could be read.
    """
    if not private and not is_in_a_store(url):
        raise FetchError(ErrorCode.ADDRESS_REFUSED)
    fsspec = required("fsspec")
    try:
        with fsspec.open(url, "rb") as file:
            content: bytes = file.read(MAX_BYTES + 1)
    except ImportError as error:
        raise MissingPackageError(f"cannot open {printable(url)}: {printable(error)}") from error
    except FileNotFoundError as error:
        raise FetchError(ErrorCode.NOT_FOUND) from error
    except PermissionError as error:
        raise FetchError(ErrorCode.NOT_READABLE) from error
    except Exception as error:  # stores raise whatever their services answer
        raise FetchError(ErrorCode.FETCH_FAILED) from error
    if len(content) > MAX_BYTES:
        raise FetchError(ErrorCode.TOO_LARGE)
    return content


def is_in_a_store(url: str) -> bool:
    """Whether an address names a bucket or a folder of a store, and neither a machine nor a second address."""
    return url.partition("://")[0].lower() in STORES and CHAIN not in url


def path_here(url: str) -> str | None:
    """Return the path of a file of this machine that an address names; None for other addresses."""
    scheme, _, path = url.partition("://")
    return path if scheme.lower() in _HERE and CHAIN not in url else None
