from dataclasses import replace

import pytest

from resnexus.data.error_codes import ErrorCode
from resnexus.prediction import fetching
from resnexus.prediction.fetching import FetchError, FetchLimits, checked_address, fetch_image
from tests.weights.server import FileServer

HERE = FetchLimits(private=True, max_bytes=100_000, silence_s=60)  # of a busy machine
HASTE = replace(HERE, silence_s=0.3)  # with a server that says nothing
CONTENT = bytes(range(256)) * 200


def refused(url, limits=HERE, **options):
    with pytest.raises(FetchError) as caught:
        fetch_image(url, limits, **options)
    return caught.value.code


@pytest.mark.parametrize("plan", ["serve", "redirect", "no length"])
def test_a_file_is_brought(plan):
    with FileServer(CONTENT, [plan]) as server:
        assert fetch_image(f"{server.url}/a.jpg", HERE) == CONTENT
        assert server.requests[0]["Host"] == server.url.removeprefix("http://")
        assert server.requests[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (404, ErrorCode.FETCH_FAILED),
        (500, ErrorCode.FETCH_FAILED),
        ("cut", ErrorCode.FETCH_FAILED),
        ("reset", ErrorCode.FETCH_FAILED),
        ("gzip", ErrorCode.FETCH_FAILED),
        ("loop", ErrorCode.FETCH_FAILED),
        ("stall", ErrorCode.TIMED_OUT),
        ("silence", ErrorCode.TIMED_OUT),
        ("huge", ErrorCode.TOO_LARGE),
        ("endless", ErrorCode.TOO_LARGE),
        ("to a file", ErrorCode.ADDRESS_REFUSED),
    ],
)
def test_a_server_that_misbehaves(plan, code):
    with FileServer(CONTENT, [plan] * 10 if plan == "loop" else [plan]) as server:
        limits = HASTE if code == ErrorCode.TIMED_OUT else HERE
        assert refused(f"{server.url}/a.jpg", limits) == code


def test_the_deadline_holds_however_little_comes():
    times = iter([0.0, 1.0, 40.0])
    with FileServer(bytes(90_000), ["slow"]) as server:
        assert refused(f"{server.url}/a.jpg", clock=lambda: next(times, 40.0)) == ErrorCode.TIMED_OUT


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/a.jpg",
        "http://localhost/a.jpg",
        "http://[::1]/a.jpg",
        "http://[::ffff:10.0.0.1]/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://user:password@192.0.2.1/",
        "ftp://example.org/a.jpg",
        "http:///a.jpg",
    ],
)
def test_private_addresses_are_refused(url):
    assert refused(url, FetchLimits()) == ErrorCode.ADDRESS_REFUSED


def test_a_name_is_private_if_any_of_its_addresses_is(monkeypatch):
    def resolve(host, port, type):
        return [(2, 1, 6, "", ("93.184.216.34", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(fetching.socket, "getaddrinfo", resolve)
    with pytest.raises(FetchError):
        checked_address("example.org", 80, private=False)
    assert checked_address("example.org", 80, private=True) == "93.184.216.34"


def test_what_was_checked_is_what_is_connected_to(monkeypatch):
    """A name that leads here for the check and elsewhere the next moment is looked up once."""
    with FileServer(CONTENT) as server:
        port = int(server.url.rpartition(":")[2])
        asked = []
        real = fetching.socket.getaddrinfo

        def resolve(host, *arguments, **options):
            asked.append(host)
            return real("127.0.0.1" if host == "example.org" else host, *arguments, **options)

        monkeypatch.setattr(fetching.socket, "getaddrinfo", resolve)
        assert fetch_image(f"http://example.org:{port}/a.jpg", HERE) == CONTENT
        assert asked.count("example.org") == 1
        assert server.requests[0]["Host"] == f"example.org:{port}"


def test_a_host_of_other_letters_is_asked_for_as_the_network_knows_it(monkeypatch):
    with FileServer(CONTENT) as server:
        port, real = int(server.url.rpartition(":")[2]), fetching.socket.getaddrinfo

        def resolve(host, *arguments, **options):
            return real("127.0.0.1" if host == "xn--bcher-kva.example" else host, *arguments, **options)

        monkeypatch.setattr(fetching.socket, "getaddrinfo", resolve)
        assert fetch_image(f"http://b\xfccher.example:{port}/a.jpg", HERE) == CONTENT
        assert server.requests[0]["Host"] == f"xn--bcher-kva.example:{port}"


@pytest.mark.parametrize(
    ("sent", "meant"), [(b"/a.jpg", "/a.jpg"), ("/\xe9.jpg".encode(), "/\xe9.jpg"), (b"/\xe9.jpg", "/\xe9.jpg")]
)
def test_an_address_that_a_server_leads_to_may_be_utf8(sent, meant):
    assert fetching._as_utf8(sent.decode("latin-1")) == meant
