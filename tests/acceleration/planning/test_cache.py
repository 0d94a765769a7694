from __future__ import annotations

import errno
import os
import time

import pytest
import torch
from test_plan import PLAN

from resnexus.acceleration.planning.cache import Cache, CacheWarning, digest, images_digest, weights_digest
from resnexus.errors import ResnexusError

KEY = {"row": "tiny", "batch_size": 2}


def _stored(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "engines")


def _build(cache, files=(("model.bin", b"weights"), ("deep/model.xml", b"graph"))):
    with cache.scratch() as scratch:
        built = scratch / "built"
        for name, content in files:
            (built / name).parent.mkdir(parents=True, exist_ok=True)
            (built / name).write_bytes(content)
        return cache.keep_build(KEY, built)


def test_plans_and_checks_are_found_again(cache):
    assert cache.read_plan(KEY) is None
    assert cache.read_check(KEY) is None
    cache.write_plan(KEY, PLAN)
    cache.write_check(KEY, PLAN.agreement)
    assert cache.read_plan({"batch_size": 2, "row": "tiny"}) == PLAN
    assert cache.read_check(KEY) == PLAN.agreement
    assert cache.read_plan({**KEY, "batch_size": 3}) is None
    assert len(_stored(cache.folder)) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null"])
def test_damaged_records_are_said_and_not_used(content, cache):
    cache.write_plan(KEY, PLAN)
    cache.write_check(KEY, PLAN.agreement)
    for path in cache.folder.rglob("*.json"):
        path.write_bytes(content)
    with pytest.warns(CacheWarning, match=r"the stored plan .* is damaged \(.*planning again"):
        assert cache.read_plan(KEY) is None
    with pytest.warns(CacheWarning, match=r"the stored check .* is damaged \(.*checking again"):
        assert cache.read_check(KEY) is None


def test_builds_are_found_again(cache):
    assert cache.find_build(KEY) is None
    folder = _build(cache)
    assert cache.find_build(KEY) == folder
    assert (folder / "deep" / "model.xml").read_bytes() == b"graph"
    assert cache.find_build({**KEY, "batch_size": 3}) is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.bin").write_bytes(b"weightz"), r"changed: model.bin"),
        (lambda folder: (folder / "model.bin").unlink(), r"missing or left over"),
        (lambda folder: (folder / "more").write_bytes(b""), r"missing or left over"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("3"), r"missing or left over"),
    ],
)
def test_damaged_builds_are_said_and_removed(damage, message, cache):
    folder = _build(cache)
    assert cache.find_build(KEY) == folder
    damage(folder)
    cache = Cache(cache.folder)
    with pytest.warns(CacheWarning, match=message):
        assert cache.find_build(KEY) is None
    assert not folder.exists()
    assert cache.find_build(KEY) is None
    assert _build(cache) == folder


def test_the_first_of_two_processes_wins(cache):
    first = _build(cache)
    second = _build(cache, [("model.bin", b"the same, built a moment later")])
    assert first == second
    assert (first / "model.bin").read_bytes() == b"weights"
    assert cache.find_build(KEY) == first


def test_interruptions_leave_nothing_behind(cache):
    def interrupted():
        with cache.scratch() as scratch:
            (scratch / "half").write_bytes(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(cache.folder.iterdir()) == []


def test_what_killed_processes_left_is_removed_after_a_day(cache):
    cache.folder.mkdir()
    for name, age in (("old", 90_000), ("young", 80_000)):
        left = cache.folder / f".being-written-{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    with cache.scratch():
        pass
    assert [path.name for path in cache.folder.iterdir()] == [".being-written-young"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "engines")
    with pytest.raises(ResnexusError, match=r"cannot write to .*engines.*: Not a directory; give another cache_dir"):
        cache.write_plan(KEY, PLAN)


def test_a_built_network_that_cannot_be_kept(cache, monkeypatch):
    def full(*names):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("resnexus.acceleration.planning.cache.os.replace", full)
    with pytest.raises(ResnexusError, match=r"cannot write to .*built: No space left on device; give"):
        _build(cache)


def test_the_default_folder_follows_the_environment(tmp_path, monkeypatch):
    pytest.importorskip("platformdirs", reason="the default folder is the store's")
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path))
    assert Cache().folder == tmp_path / "engines"


def test_digests_tell_names_types_shapes_and_values_apart(random_network):
    network = random_network("SE_ResNet18_vd", depths=(1,))
    before = weights_digest(network)
    assert weights_digest(network) == before
    assert weights_digest(network.float()) != before
    network.double().stem[0].norm.running_mean[3] += 1e-9
    assert weights_digest(network) != before
    wide, high = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    high.weight.data = wide.weight.data.reshape(2, 3)
    assert weights_digest(wide) != weights_digest(high)
    images = torch.zeros(2, 3, 4, 4)
    assert images_digest(images) != images_digest(images.reshape(2, 3, 2, 8))
    assert images_digest(images) == images_digest(images.clone())
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
