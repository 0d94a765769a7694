"""The store against a server that misbehaves: the right file or a clear error, never a broken cache."""

import errno
import hashlib
import json
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from server import FileServer

from resnexus import Architecture, ResnexusError, create_model
from resnexus.series import checkpoints
from resnexus.weights import from_paddle, store, to_paddle
from resnexus.weights.checkpoint_file import CheckpointRecord, read_checkpoint, read_record
from resnexus.weights.download import DownloadError, Patience
from resnexus.weights.store import StoreError, fetch, find_checkpoint

ROW = Architecture(
    name="tiny",
    block="bottleneck",
    depths=(1, 1, 1, 1),
    width=4,
    groups=2,
    out_width=16,
    stem="deep",
    stem_width=8,
    shortcut="pool",
)
PATIENCE = Patience(connect_s=60, read_s=60, retries=2, delay_s=0.01, max_delay_s=0.02)  # of a busy machine
HASTE = replace(PATIENCE, read_s=1.0)  # with a server that says nothing
PATH = "/dygraph/tiny_pretrained.pdparams"


def pdparams(seed, row=ROW):
    torch.manual_seed(seed)
    arrays = to_paddle(row, create_model(row).state_dict())
    return pickle.dumps(arrays | {"StructuredToParameterName@@": {name: name for name in arrays}}, protocol=2)


@pytest.fixture(scope="module")
def content():
    return pdparams(0)


@pytest.fixture(scope="module")
def changed():
    return pdparams(1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RESNEXUS_MIRROR", raising=False)
    monkeypatch.delenv("RESNEXUS_OFFLINE", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path / "home" / "checkpoints"


def record(base):
    like = checkpoints.checkpoints()["Res2Net50_vd_26w_4s_ssld"]
    return replace(like, name="tiny_ssld", architecture="tiny", url=base + PATH)


def get(server, **arguments):
    patience = HASTE if {"silence", "stall"} & set(server.plan) else PATIENCE
    return fetch(record(server.url), row=ROW, patience=patience, **arguments)


def assert_holds(path, content):
    arrays = pickle.loads(content)
    del arrays["StructuredToParameterName@@"]
    expected, found = from_paddle(ROW, arrays), read_checkpoint(path)
    assert list(found.keys() - expected.keys()) == list(expected.keys() - found.keys()) == []
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    receipt = json.loads(path.with_suffix(".json").read_text())
    assert receipt["source_sha256"] == hashlib.sha256(content).hexdigest()
    assert receipt["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def left(home):
    """Everything in the cache but lock files."""
    return sorted(path.name for path in home.iterdir() if path.suffix != ".lock")


WHOLE = ["tiny_ssld.json", "tiny_ssld.safetensors"]


def test_the_first_call_fetches_and_the_next_only_reads(home, content):
    with FileServer(content) as server:
        path = get(server)
        assert path == home / "tiny_ssld.safetensors"
        assert_holds(path, content)
        assert left(home) == WHOLE
        assert get(server) == path
        assert len(server.requests) == 1
        assert server.requests[0]["Accept-Encoding"] == "identity"
    assert get(server) == path  # the server is gone


def test_the_file_says_what_it_is(content):
    with FileServer(content) as server:
        path = get(server)
    like = checkpoints.checkpoints()["Res2Net50_vd_26w_4s_ssld"]
    found = read_record(path)
    assert found == CheckpointRecord(
        architecture=ROW,
        classes=like.classes,
        preprocess=like.preprocess,
        recipe=None,
        metrics={"top1": 0.831, "top5": 0.966},
        source=server.url + PATH,
        source_sha256=hashlib.sha256(content).hexdigest(),
        checkpoint="tiny_ssld",
        tag="ssld",
        licence="Apache-2.0",
    )
    assert found.classes[207] == "golden retriever"
    with safe_open(path, "np") as file:
        assert file.metadata()["format"] == "pt"


def test_the_published_file_is_kept_when_asked_for(home, content):
    with FileServer(content) as server:
        get(server, keep_source=True)
        assert (home / "tiny_ssld.pdparams").read_bytes() == content
        (home / "tiny_ssld.safetensors").unlink()
        get(server)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("plan", "resumed"),
    [
        (["cut"], [False, True]),
        (["cut", "cut"], [False, True, True]),
        (["reset"], None),  # whether what was sent before it arrives is up to the system
        pytest.param(["stall"], [False, True], marks=pytest.mark.thorough),
        (["silence"], [False, False]),
        ([500, 503], [False, False, False]),
        ([429], [False, False]),
        (["redirect"], [False, False]),
        (["cut", 502], [False, True, True]),
        (["cut", "redirect"], [False, True, True]),
        (["cut", "short"], [False, True, True]),
        (["cut", "whole"], [False, True]),
        (["cut", "elsewhere"], [False, True, False]),
        (["unchunked end"], [False, True]),
        (["no length"], [False]),
    ],
    ids=lambda value: "+".join(map(str, value)) if value and value[0] is not False else "",
)
def test_a_server_that_recovers_gives_the_right_file(plan, resumed, home, content):
    with FileServer(content, plan) as server:
        assert_holds(get(server), content)
        if resumed is None:
            assert len(server.requests) == 2
        else:
            assert [start > 0 for start in server.ranges] == resumed
    assert left(home) == WHOLE


def test_only_the_rest_is_fetched_again(content):
    with FileServer(content, ["cut"]) as server:
        get(server)
        assert len(content) // 2 - (1 << 16) <= server.ranges[1] <= len(content) // 2
        assert server.requests[1]["If-Range"] == server.mark()


@pytest.mark.parametrize("plan", ["serve", "splice", "splice unmarked"])
def test_two_versions_of_a_file_are_never_joined(plan, home, content, changed):
    with FileServer(content, ["cut", 404]) as server:
        with pytest.raises(DownloadError):
            get(server)
        assert (home / "tiny_ssld.pdparams.part").stat().st_size > 0
        server.content, server.plan = changed, [plan]
        assert_holds(get(server), changed)


@pytest.mark.parametrize("mark", ["[" * 100_000, '{"url": 1, "etag": "x"}', "{"])
def test_a_damaged_mark_begins_again_and_is_told(mark, home, content, caplog):
    with FileServer(content, ["cut", 404]) as server:
        with pytest.raises(DownloadError):
            get(server)
        (home / "tiny_ssld.pdparams.part.json").write_text(mark)
        assert_holds(get(server), content)
        assert server.ranges[-1] == 0
    assert "tiny_ssld.pdparams.part.json" in caplog.text
    assert "the download begins again" in caplog.text


def test_another_mirror_begins_again(home, content, monkeypatch):
    with FileServer(content, ["cut", 404]) as one, FileServer(content) as other:
        with pytest.raises(DownloadError):
            get(one)
        monkeypatch.setenv("RESNEXUS_MIRROR", other.url)
        assert_holds(get(one), content)
        assert other.ranges == [0]


@pytest.mark.parametrize("etag", ["weak", "none"])
def test_without_a_strong_mark_a_download_begins_again(etag, content):
    with FileServer(content, ["cut"], etag=etag) as server:
        assert_holds(get(server), content)
        assert server.ranges == [0, 0]


def test_a_file_that_became_shorter_begins_again(home, content):
    with FileServer(content + bytes(10**6), ["cut", 404]) as server:
        with pytest.raises(DownloadError):
            get(server)
        server.content, server.plan = content[: len(content) // 4], ["splice"]
        with pytest.raises(StoreError, match="is not the published tiny_ssld"):
            get(server)
        assert server.ranges[-2] > server.ranges[-1] == 0


@pytest.mark.parametrize(
    ("plan", "message", "requests"),
    [
        ([404] * 9, r"cannot fetch {url}: the server answers 404 Not Found. Set RESNEXUS_MIRROR", 1),
        ([403] * 9, r"the server answers 403 Forbidden", 1),
        ([500] * 9, r"gave up after 3 attempts. The last failure: the server answers 500", 3),
        pytest.param(
            ["silence"] * 9,
            r"gave up after 3 attempts. The last failure: .*timed? ?out",
            3,
            marks=pytest.mark.thorough,
        ),
        (["cut", 500, 500], r"gave up after 3 attempts; [\d,]+ bytes are kept, and the next call goes on", 3),
        (["loop"], r"cannot fetch {url}: Exceeded 30 redirects", 31),
        (["to a file"], r"cannot fetch {url}: it leads to file:///etc/hostname, which is neither http nor https", 1),
        (["endless"], r"has [\d,]+ bytes or more, and the file expected there at most [\d,]+", 1),
        (["huge"], r"has 1,000,000,000,000 bytes or more", 1),
        (["gzip"], r"the server compresses it, asked not to", 1),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_a_server_that_does_not_recover_is_a_clear_error(plan, message, requests, home, content):
    with FileServer(content, plan) as server:
        with pytest.raises(DownloadError, match=message.format(url=server.url + PATH)):
            get(server)
        assert len(server.requests) == requests
        assert not (home / "tiny_ssld.safetensors").exists()
        server.plan = []
        assert_holds(get(server), content)
    assert left(home) == WHOLE


def test_a_dead_server_is_a_clear_error(content):
    with FileServer(content) as server:
        pass
    with pytest.raises(DownloadError) as caught:
        get(server)
    assert str(caught.value) == (
        f"cannot fetch {server.url}{PATH}: gave up after 3 attempts. The last failure: Connection refused. Set "
        "RESNEXUS_MIRROR to another base address (http, https or file) that holds the file"
    )


def test_what_is_tried_again_is_told_in_one_short_line(content, caplog):
    plan = ["silence", "unchunked end", 503]
    message = r"The last failure: the server answers 503 Service Unavailable\. Set"
    with FileServer(content, plan) as server, pytest.raises(DownloadError, match=message):
        get(server)
    assert [re.sub(r"[\d.]+ s", "T s", line) for line in caplog.messages] == [
        "tiny_ssld.pdparams: timed out: the server is silent; trying again in T s (1 of 2)",
        "tiny_ssld.pdparams: the connection broke off; trying again in T s (2 of 2)",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page", "not a Paddle state dict"),
        ("half", "tiny_ssld.pdparams"),
        ("another network", r"\n- bb_1_0.conv0._conv.weight\n(.|\n)*\n\+ bb_0_1"),
        ("another head", "expected 1000 classes and 3 image channels"),
    ],
)
def test_what_is_not_the_network_is_set_aside(name, message, home, content):
    wrong = {
        "page": b"<html>Log in to the network</html>",
        "half": content[: len(content) // 2],
        "another network": pdparams(0, Architecture(name="b", block="basic", depths=(2,), width=16, out_width=16)),
        "another head": pickle.dumps(to_paddle(ROW, create_model(ROW, num_classes=7).state_dict()), 2),
    }[name]
    with FileServer(wrong) as server:
        with pytest.raises(StoreError, match=message) as caught:
            get(server)
        assert f"{server.url}{PATH} is not the published tiny_ssld" in str(caught.value)
        assert str(home / "tiny_ssld.pdparams.rejected") in str(caught.value)
        assert left(home) == ["tiny_ssld.pdparams.rejected"]
        server.content = content
        assert_holds(get(server), content)


def test_a_later_difference_is_an_error_until_it_is_trusted(home, content, changed):
    with FileServer(content) as server:
        path = get(server)
        path.unlink()
        server.content = changed
        with pytest.raises(StoreError, match=r"If you trust the change, delete .*tiny_ssld.json") as caught:
            get(server)
        for text in (content, changed):
            assert hashlib.sha256(text).hexdigest() in str(caught.value)
        assert not (home / "tiny_ssld.safetensors").exists()
        (home / "tiny_ssld.json").unlink()
        assert_holds(get(server), changed)


def test_a_published_hash_is_compared(content):
    with FileServer(content) as server, pytest.raises(StoreError, match=f"published is {'0' * 64}"):
        fetch(replace(record(server.url), sha256="0" * 64), row=ROW, patience=PATIENCE)


@pytest.mark.parametrize("damage", ["bit", "cut", "receipt gone", "receipt torn", "receipt deep", "receipt huge"])
def test_a_damaged_cache_is_named(damage, content):
    with FileServer(content) as server:
        path = get(server)
    data, receipt = bytearray(path.read_bytes()), path.with_suffix(".json")
    if damage == "bit":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "receipt gone":
        receipt.unlink()
    elif damage == "receipt deep":
        receipt.write_text("[" * 100_000)
    elif damage == "receipt huge":
        receipt.write_text(json.dumps(json.loads(receipt.read_text()) | {"bytes": 1.0}).replace("1.0", "1e400"))
    else:
        receipt.write_text(receipt.read_text()[:40])
    named = receipt if "receipt" in damage else path
    with pytest.raises(
        StoreError, match=rf"{named}( is damaged| is not JSON|: No such file|: bytes: expected).*Delete it"
    ):
        get(server)


def test_a_full_disk_is_told_before_anything_is_written(home, content, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(content)))
    with FileServer(content) as server:
        with pytest.raises(DownloadError, match=r"bytes free and [\d,]+ are needed.*RESNEXUS_HOME"):
            get(server)
        assert (home / "tiny_ssld.pdparams.part").stat().st_size == 0


def test_offline_uses_only_what_is_there(content, monkeypatch):
    with FileServer(content) as server:
        for arguments in ({"offline": True}, {}):
            monkeypatch.setenv("RESNEXUS_OFFLINE", "1")
            with pytest.raises(StoreError, match=r"tiny_ssld is not in .* \(offline\): fetch it first"):
                get(server, **arguments)
        assert server.requests == []
        get(server, offline=False)
        assert_holds(get(server), content)
        monkeypatch.setenv("RESNEXUS_OFFLINE", "maybe")
        Path(get(server)).unlink()
        with pytest.raises(ResnexusError, match="unknown RESNEXUS_OFFLINE 'maybe': accepted are 0, 1"):
            get(server)


def test_a_mirror_holds_the_files_under_their_paths(tmp_path, content, monkeypatch):
    published = record("https://published.invalid")
    with FileServer(content) as server:
        monkeypatch.setenv("RESNEXUS_MIRROR", server.url + "/mirror/")
        path = fetch(published, row=ROW, patience=PATIENCE)
        assert read_record(path).source == published.url
        assert json.loads(path.with_suffix(".json").read_text())["url"] == server.url + "/mirror" + PATH
    path.unlink()
    folder = tmp_path / "a mirror"
    (folder / "dygraph").mkdir(parents=True)
    (folder / PATH[1:]).write_bytes(content)
    monkeypatch.setenv("RESNEXUS_MIRROR", folder.as_uri())
    assert_holds(fetch(published, row=ROW, offline=True), content)
    assert (folder / PATH[1:]).read_bytes() == content
    path.unlink()
    (folder / PATH[1:]).unlink()
    with pytest.raises(StoreError, match=r"a mirror/dygraph/tiny_pretrained.pdparams is not there: RESNEXUS_MIRROR"):
        fetch(published, row=ROW)
    monkeypatch.setenv("RESNEXUS_MIRROR", "gopher://mirror")
    with pytest.raises(ResnexusError, match="unknown kind of address in RESNEXUS_MIRROR=gopher://mirror 'gopher'"):
        fetch(published, row=ROW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNEXUS_MIRROR", "a mirror")
    with pytest.raises(ResnexusError) as caught:
        fetch(published, row=ROW)
    assert str(caught.value) == (
        f"RESNEXUS_MIRROR=a mirror is not an address: for a folder set RESNEXUS_MIRROR={folder.as_uri()}, for a server "
        "one that begins with http:// or https://"
    )


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StoreError) as caught:
        fetch(record("https://published.invalid"), row=ROW)
    assert str(caught.value) == (
        f"cannot write to {tmp_path}/home/checkpoints: Not a directory. Set RESNEXUS_HOME to a folder that can be "
        "written"
    )
    (tmp_path / "home").unlink()

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(StoreError, match=r"cannot write to .*: Read-only file system. Set RESNEXUS_HOME"):
        fetch(record("https://published.invalid"), row=ROW)


def test_a_file_of_a_mirror_stays_where_it_is_when_it_is_wrong(tmp_path, monkeypatch):
    (tmp_path / "dygraph").mkdir()
    (tmp_path / PATH[1:]).write_bytes(b"nothing")
    monkeypatch.setenv("RESNEXUS_MIRROR", tmp_path.as_uri())
    with pytest.raises(StoreError, match=f"It lies at {tmp_path / PATH[1:]}"):
        fetch(record("https://published.invalid"), row=ROW)
    assert (tmp_path / PATH[1:]).read_bytes() == b"nothing"


def run(server, **arguments):
    code = f"""
from resnexus import Architecture
from resnexus.series.checkpoints import checkpoints
from resnexus.weights.download import Patience
from resnexus.weights.store import fetch
from dataclasses import replace
like = checkpoints()["Res2Net50_vd_26w_4s_ssld"]
record = replace(like, name="tiny_ssld", architecture="tiny", url={server.url + PATH!r})
input()
print(fetch(record, row={ROW!r}))
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **arguments
    )


@pytest.mark.thorough
def test_two_processes_at_once_fetch_once(home, content, caplog):
    with FileServer(content, ["held"]) as server:
        with run(server) as other:
            other.stdin.write("go\n")
            other.stdin.flush()
            wait_until(lambda: server.requests)

            def go_on(record):
                server.go.set()
                return True

            with caplog.filtering(go_on):  # the rest comes when this one says that it waits
                assert_holds(get(server), content)
            assert "waiting for another process that fetches tiny_ssld" in caplog.text
            assert other.communicate(timeout=60)[0].split()[-1] == str(home / "tiny_ssld.safetensors")
        assert len(server.requests) == 1


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.thorough
def test_a_killed_process_leaves_what_can_be_resumed(home, content):
    part = home / "tiny_ssld.pdparams.part"
    with FileServer(content, ["held"]) as server:
        with run(server) as process:
            process.stdin.write("go\n")
            process.stdin.flush()
            wait_until(lambda: part.exists() and part.stat().st_size > 100_000)
            process.send_signal(signal.SIGKILL)
        arrived = part.stat().st_size
        assert 100_000 < arrived < len(content)
        assert_holds(get(server), content)
        assert server.ranges == [0, arrived]
    assert left(home) == WHOLE


@pytest.mark.slow  # a process after every kill
@pytest.mark.timeout(3600)
def test_killed_at_any_moment_it_goes_on_to_the_right_file(home, content):
    moments, killed, fetched = random.Random(0), 0, 0
    with FileServer(content, ["slow"] * 1000) as server:
        while killed < 18 or not fetched:
            asked = len(server.requests)
            with run(server) as process:
                process.stdin.write("go\n")
                process.stdin.flush()
                wait_until(lambda: len(server.requests) > asked or process.poll() is not None)  # noqa: B023
                with suppress(subprocess.TimeoutExpired):
                    process.wait(moments.uniform(0, 3))  # the file takes 2, and is then converted
                process.kill()
            killed += process.returncode == -signal.SIGKILL
            if process.returncode == 0:
                assert_holds(home / "tiny_ssld.safetensors", content)
                assert left(home) == WHOLE
                shutil.rmtree(home)
                fetched += 1
            elif (home / "tiny_ssld.safetensors").exists():
                read_checkpoint(home / "tiny_ssld.safetensors")  # never half of it
    assert killed >= 18


def test_a_process_killed_while_converting_leaves_what_can_be_converted(home, content):
    with FileServer(content) as server:
        get(server, keep_source=True).unlink()
        (home / "tiny_ssld.json").unlink()
        (home / ".tiny_ssld.safetensors.a1b2c3d4.new").mkdir()
        (home / ".tiny_ssld.safetensors.a1b2c3d4.new" / "tiny_ssld.safetensors").write_bytes(b"half")
        assert_holds(get(server), content)
        assert len(server.requests) == 1
    assert left(home) == WHOLE


def test_names_and_tags():
    assert find_checkpoint("res2net200_vd_26w_4s:SSLD").name == "Res2Net200_vd_26w_4s_ssld"
    assert find_checkpoint("Res2Net200_vd_26w_4s_ssld").tag == "ssld"
    assert find_checkpoint("Res2Net200_vd_26w_4s").tag == "imagenet"
    with pytest.raises(ResnexusError, match="unknown tag of SENet154_vd 'ssld': accepted are imagenet"):
        find_checkpoint("SENet154_vd:ssld")
    with pytest.raises(ResnexusError, match="ResNet50_vd is a baseline without published weights"):
        find_checkpoint("ResNet50_vd")
    with pytest.raises(ResnexusError, match="unknown architecture 'SENet155_vd': did you mean 'SENet154_vd'"):
        find_checkpoint("SENet155_vd:imagenet")


def test_the_cache_lies_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.delenv("RESNEXUS_HOME")
    assert store.home().name == "resnexus"
    monkeypatch.setenv("RESNEXUS_HOME", "~/weights")
    assert store.home() == Path.home() / "weights"
