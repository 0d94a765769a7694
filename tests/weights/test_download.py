"""One file over HTTP, without a store: the rest of it is asked for, and nothing that misleads is followed."""

import io
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import requests
from server import FileServer

from resnexus.weights.download import DownloadError, Patience, download

PATIENCE = Patience(connect_s=60, read_s=60, retries=2, delay_s=0.01, max_delay_s=0.02)  # of a busy machine


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)


def test_a_download_alone(tmp_path):
    data = np.random.default_rng(0).bytes(300_000)
    with FileServer(data, ["cut", "reset"]) as server:
        download(server.url, tmp_path / "file", max_bytes=300_000, patience=PATIENCE)
    assert (tmp_path / "file").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(DownloadError, match="No connection adapters were found"):
        download("ftp://127.0.0.1/file", tmp_path / "file", max_bytes=1)


def test_an_address_that_leads_out_of_encryption_is_refused(tmp_path, monkeypatch):
    response = requests.Response()
    response.status_code, response.raw = 302, io.BytesIO(b"data")
    response.headers["Location"] = "http://example.invalid/file"
    monkeypatch.setattr(requests.Session, "get", lambda *_, **__: response)
    with pytest.raises(DownloadError, match=r"it leads to http://example.invalid/file, which is not encrypted"):
        download("https://example.invalid/file", tmp_path / "file", max_bytes=10)


def test_the_body_of_a_redirect_is_not_read(tmp_path):
    """It may be a bomb: a gigabyte of zeros in a megabyte of gzip."""
    with FileServer(b"content", ["redirect bomb"]) as server:
        tracemalloc.start()
        download(server.url, tmp_path / "file", max_bytes=10, patience=PATIENCE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(server.requests) == 2
    assert (tmp_path / "file").read_bytes() == b"content"
    assert peak < 10**7


class Told:
    """A progress that notes what it is told."""

    def __init__(self):
        self.lines = []

    @contextmanager
    def stage(self, description, total):
        steps = []
        yield steps.append
        self.lines.append((description, total, sum(steps)))

    def say(self, message):
        self.lines.append(message)


def test_progress_is_told_in_megabytes(tmp_path):
    told = Told()
    for size, total in ((2_500_000, 3), (2_000_000, 2)):
        with FileServer(bytes(size)) as server:
            download(server.url, tmp_path / "file", max_bytes=10**7, progress=told)
        assert told.lines.pop() == ("file, MB", total, total)
    with FileServer(bytes(2_500_000), ["cut"]) as server:
        download(server.url, tmp_path / "file", max_bytes=10**7, patience=PATIENCE, progress=told)
    assert told.lines == [("file, MB", 3, 3)]


def test_waits_grow_up_to_a_limit():
    patience = Patience(delay_s=0.5, max_delay_s=3)
    waits = [patience.delay(attempt) for attempt in range(6)]
    for wait, full in zip(waits, [0.5, 1, 2, 3, 3, 3], strict=True):
        assert 0.75 * full <= wait <= full
