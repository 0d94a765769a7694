"""The published checkpoints on this machine: fetched once, checked, converted once, and checked on every use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from resnexus.architectures.catalog import BASELINES, architecture
from resnexus.architectures.complexity import complexity
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.files import replacing, sweep
from resnexus.home import HOME_VARIABLE, home
from resnexus.progress import Progress
from resnexus.records import RecordError, read_json, write_json
from resnexus.series.checkpoints import Checkpoint, checkpoints, tags
from resnexus.weights.checkpoint_file import CheckpointFileError, CheckpointRecord, sha256, write_checkpoint
from resnexus.weights.download import DEFAULT_PATIENCE, Patience, download
from resnexus.weights.mapping import FIRST_CONV, from_paddle
from resnexus.weights.pdparams import read_pdparams

_log = logging.getLogger("resnexus")

MIRROR_VARIABLE = "RESNEXUS_MIRROR"
OFFLINE_VARIABLE = "RESNEXUS_OFFLINE"

_SLACK_BYTES = 1 << 24  # names and pickling beside the numbers themselves


class StoreError(ResnexusError):
    """A checkpoint that cannot be had, or is not what it was; the message names the file and the fix."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was fetched and what became of it; lies beside the converted file as `NAME.json`.

    Attributes:
        url: where it came from.
        source_sha256: of the file published there.
        source_bytes: its size.
        sha256: of the converted file.
        bytes: its size.
        fetched: when, ISO 8601 in UTC.
    """

    url: str
    source_sha256: str
    source_bytes: int
    sha256: str
    bytes: int
    fetched: str


def find_checkpoint(name: str) -> Checkpoint:
    """Return the record called `NETWORK`, `NETWORK:TAG` or by its published name; the tag is `imagenet` if not given.

    Upper and lower case are the same.

    Raises:
        ResnexusError: no such network or tag, or a network without published weights.
    """
    by_name = {known.lower(): record for known, record in checkpoints().items()}
    if name.lower() in by_name:
        return by_name[name.lower()]
    network, colon, tag = name.partition(":")
    return find_tag(architecture(network).name, tag if colon else "imagenet")


def find_tag(network: str, tag: str) -> Checkpoint:
    """Return the record of a network's checkpoint.

    Raises:
        ResnexusError: the network has no such checkpoint; the message lists those it has.
    """
    known = tags(network)
    if not known:
        kind = "is a baseline without" if network in {row.name for row in BASELINES} else "has no"
        raise ResnexusError(f"{network} {kind} published weights; `resnexus list --pretrained` prints what there is")
    if tag.lower() not in known:
        raise unknown(f"tag of {network}", tag, known)
    return known[tag.lower()]


def fetch(
    checkpoint: str | Checkpoint,
    *,
    row: Architecture | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
    keep_source: bool = False,
    patience: Patience = DEFAULT_PATIENCE,
) -> Path:
    """Return the safetensors file of a published checkpoint, checked; fetch and convert it if it is not there yet.

    No hashes are published. So the first download is checked entry by entry against the network, and its SHA-256 is
    kept in `NAME.json`; a later download must have the same. The converted file's own SHA-256 is kept there too and
    compared on every call. Several processes may call this at once: one fetches, the others wait.

    Args:
        checkpoint: a record, or its name as `find_checkpoint` takes it.
        row: the network it fits; by default the one that the record names.
        offline: use no network, only what is there; by default what RESNEXUS_OFFLINE says. A mirror that is a folder
            (RESNEXUS_MIRROR=file:///...) still serves.
        progress: told the megabytes as they arrive; nothing is shown if None.
        keep_source: keep the published file beside the converted one.
        patience: time-outs and retries.

    Raises:
        StoreError: not there and offline, a folder that cannot be written, a file that does not fit the network, or a
            hash that is not the recorded.
        DownloadError: the file could not be brought.
    """
    record = find_checkpoint(checkpoint) if isinstance(checkpoint, str) else checkpoint
    target = _target(record)
    if not target.is_file():
        row = architecture(record.architecture) if row is None else row
        url = _address(record.url)
        if is_offline(offline) and not url.startswith("file:"):
            raise StoreError(
                f"{record.name} is not in {target.parent} and the network must not be used (offline): fetch it "
                f"first, or set {MIRROR_VARIABLE}=file:///FOLDER"
            )
        with _locked(target):
            if not target.is_file():
                _obtain(record, row, url, target, keep_source=keep_source, progress=progress, patience=patience)
    _check_converted(target)
    return target


def _target(record: Checkpoint) -> Path:
    return home() / "checkpoints" / f"{record.name}.safetensors"


def is_offline(offline: bool | None = None) -> bool:
    """Whether the network must not be used: as given, or else what RESNEXUS_OFFLINE says.

    Raises:
        ResnexusError: the variable holds neither yes nor no.
    """
    if offline is not None:
        return offline
    value = os.environ.get(OFFLINE_VARIABLE, "").lower()
    if value not in ("", "0", "false", "no", "off", "1", "true", "yes", "on"):
        raise unknown(OFFLINE_VARIABLE, value, ("0", "1"))
    return value in ("1", "true", "yes", "on")


def _address(url: str) -> str:
    """Return where to fetch a published file: a mirror holds it under the same path."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return url
    scheme = urlsplit(mirror).scheme
    if not scheme:
        folder = Path(mirror).expanduser().absolute().as_uri()
        raise ResnexusError(
            f"{MIRROR_VARIABLE}={printable(mirror)} is not an address: for a folder set {MIRROR_VARIABLE}={folder}, "
            "for a server one that begins with http:// or https://"
        )
    if scheme not in ("http", "https", "file"):
        raise unknown(f"kind of address in {MIRROR_VARIABLE}={printable(mirror)}", scheme, ("http", "https", "file"))
    return mirror.rstrip("/") + urlsplit(url).path


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("waiting for another process that fetches %s", target.stem)
            lock.acquire()
        sweep(target.parent)
    except OSError as error:
        raise StoreError(
            f"cannot write to {printable(target.parent)}: {error.strerror or error}. Set {HOME_VARIABLE} to a folder "
            "that can be written"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _obtain(
    record: Checkpoint,
    row: Architecture,
    url: str,
    target: Path,
    *,
    keep_source: bool,
    progress: Progress | None,
    patience: Patience,
) -> None:
    cost = complexity(row)
    size = 4 * (cost.parameters + cost.buffers) + _SLACK_BYTES
    ours = not url.startswith("file:")
    source = target.with_suffix(".pdparams") if ours else Path(unquote(urlsplit(url).path))
    if ours and not source.is_file():
        # A published file may hold a second network, a teacher's, so twice the size is no reason to refuse it.
        download(url, source, max_bytes=4 * size, spare_bytes=size, patience=patience, progress=progress)
    if not source.is_file():
        raise StoreError(f"{source} is not there: {MIRROR_VARIABLE} must hold the files under their published paths")
    _convert(record, row, url, source, target, discardable=ours)
    if ours and not keep_source:
        source.unlink()


def _convert(record: Checkpoint, row: Architecture, url: str, source: Path, target: Path, *, discardable: bool) -> None:
    digest = sha256(source)
    try:
        _check_source(record, url, digest, target)
        state = from_paddle(row, read_pdparams(source))
        classes = len(state["head.bias"]) if "head.bias" in state else 0
        if classes != len(record.classes) or state[FIRST_CONV].shape[1] != 3:
            raise ResnexusError(f"expected {len(record.classes)} classes and 3 image channels")
    except ResnexusError as error:
        kept = source
        if discardable:
            kept = source.replace(source.with_name(f"{source.name}.rejected"))
        raise StoreError(f"{url} is not the published {record.name}: {error}\nIt lies at {kept}") from error
    contents = CheckpointRecord(
        architecture=row,
        classes=record.classes,
        preprocess=record.preprocess,
        recipe=None if record.recipe is None else record.recipe.flat(),
        metrics={"top1": record.published.top1, "top5": record.published.top5},
        source=record.url,
        source_sha256=digest,
        checkpoint=record.name,
        tag=record.tag,
        licence=record.licence,
    )
    with replacing(target, CheckpointFileError) as temporary:
        write_checkpoint(state, temporary, contents)
        receipt = Receipt(
            url=url,
            source_sha256=digest,
            source_bytes=source.stat().st_size,
            sha256=sha256(temporary),
            bytes=temporary.stat().st_size,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        # The receipt first: a converted file must never lie there without one.
        write_json(receipt, _receipt_path(target))


def _check_source(record: Checkpoint, url: str, digest: str, target: Path) -> None:
    if record.sha256 is not None and digest != record.sha256:
        raise StoreError(f"its SHA-256 is {digest}, published is {record.sha256}")
    if not _receipt_path(target).is_file():
        return
    receipt = read_receipt(target)
    if digest != receipt.source_sha256:
        raise StoreError(
            f"its SHA-256 is {digest}, but was {receipt.source_sha256} when it was first fetched from {receipt.url} on "
            f"{receipt.fetched}. If you trust the change, delete {_receipt_path(target)} and fetch again"
        )


def read_receipt(target: Path) -> Receipt:
    """Return the receipt of a converted file.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        return read_json(Receipt, _receipt_path(target))
    except RecordError as error:
        raise StoreError(f"{error}. Delete it and {target}, and fetch again") from error


def _receipt_path(target: Path) -> Path:
    return target.with_suffix(".json")


def _check_converted(target: Path) -> None:
    receipt = read_receipt(target)
    digest = sha256(target)
    if digest != receipt.sha256:
        raise StoreError(
            f"{target} is damaged: its SHA-256 is {digest}, but was {receipt.sha256} when it was written. Delete it "
            "and fetch again"
        )
