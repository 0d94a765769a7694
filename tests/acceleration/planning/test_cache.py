from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest
from test_plan import PLAN

from resnexus.acceleration.planning.builds import CacheError, CacheWarning
from resnexus.acceleration.planning.cache import BYTES_VARIABLE, MOST_BYTES, EngineCache
from resnexus.acceleration.planning.plan import Check
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.errors import ResnexusError
from resnexus.trust import TrustError

KEY = {"row": "tiny", "batch_size": 2}
CHECK = Check(agreement=PLAN.agreement, images=3)


def _stored(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def _build(cache, key=None):
    with cache.scratch() as scratch:
        built = scratch / "built"
        built.mkdir()
        (built / "model.bin").write_bytes(b"weights")
        return cache.keep_build(key or KEY, built)


def test_plans_and_checks_are_found_again(cache):
    assert cache.read_plan(KEY) is None
    assert cache.read_check(KEY) is None
    cache.write_plan(KEY, PLAN)
    cache.write_check(KEY, CHECK)
    assert cache.read_plan({"batch_size": 2, "row": "tiny"}) == PLAN
    assert cache.read_check(KEY) == CHECK
    assert cache.read_plan({**KEY, "batch_size": 3}) is None
    assert len(_stored(cache.folder)) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b"[" * 100_000])
def test_damaged_records_are_said_and_not_used(content, cache):
    cache.write_plan(KEY, PLAN)
    cache.write_check(KEY, CHECK)
    for path in cache.folder.rglob("*.json"):
        path.write_bytes(content)
    with pytest.warns(CacheWarning, match=r"the stored plan is damaged \(.*\.json.*; planning again"):
        assert cache.read_plan(KEY) is None
    with pytest.warns(CacheWarning, match=r"the stored check is damaged \(.*\.json.*; checking again"):
        assert cache.read_check(KEY) is None


def test_interruptions_leave_nothing_behind(cache):
    def interrupted():
        with cache.scratch() as scratch:
            (scratch / "half").write_bytes(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(cache.folder.iterdir()) == []


def test_what_killed_processes_left_is_removed_after_a_day(cache):
    places = [cache.folder, cache.folder / "plans", cache.folder / "checks"]
    for place in places:
        for name, age in (("old", 90_000), ("young", 80_000)):
            left = place / f".being-written-{name}"
            left.mkdir(parents=True)
            (left / "half.json").write_text("{")
            os.utime(left, (time.time() - age,) * 2)
    with cache.scratch():
        pass
    assert [[path.name for path in place.glob(".*")] for place in places] == [[".being-written-young"]] * 3


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(ResnexusError, match=r"cannot write to .*engines.*: Not a directory; give another cache_dir"):
        cache.write_plan(KEY, PLAN)


def test_the_default_folder_follows_the_environment(tmp_path, monkeypatch):
    pytest.importorskip("platformdirs", reason="the default folder is the store's")
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path))
    assert EngineCache().folder == tmp_path / "engines"


def test_what_the_cache_makes_is_ours_alone_whatever_the_umask(cache):
    before = os.umask(0)
    try:
        cache.write_plan(KEY, PLAN)
        cache.write_check(KEY, CHECK)
        _build(cache)
        with cache.alone(KEY, lambda: None):
            pass
    finally:
        os.umask(before)
    modes = {path.relative_to(cache.folder).parts[0]: set() for path in cache.folder.rglob("*")}
    for path in cache.folder.rglob("*"):
        modes[path.relative_to(cache.folder).parts[0]].add(stat.S_IMODE(path.stat().st_mode) & 0o077)
    assert modes == {"plans": {0}, "checks": {0}, "built": {0}, "locks": {0}}
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert cache.read_plan(KEY) == PLAN
    assert cache.find_build(KEY) is not None


USES = {
    "read_plan": lambda cache: cache.read_plan(KEY),
    "read_check": lambda cache: cache.read_check(KEY),
    "find_build": lambda cache: cache.find_build(KEY),
    "write_plan": lambda cache: cache.write_plan(KEY, PLAN),
    "keep_build": _build,
    "clear": lambda cache: cache.clear(),
}


@pytest.mark.parametrize("use", USES)
def test_a_folder_that_others_may_write_is_refused(use, cache):
    cache.folder.mkdir()
    cache.folder.chmod(0o770)
    with pytest.raises(TrustError, match=r"engines .* can be written by its group.* chmod go-w .*engines"):
        USES[use](cache)
    assert list(cache.folder.rglob("*")) == []
    cache.folder.chmod(0o755)
    USES[use](cache)


@pytest.mark.parametrize(
    ("below", "use"),
    [
        ("plans", "read_plan"),
        ("plans", "write_plan"),
        ("checks", "read_check"),
        ("built", "find_build"),
        ("built", "keep_build"),
    ],
)
def test_a_folder_below_that_others_may_write_is_refused(below, use, cache):
    cache.write_plan(KEY, PLAN)
    cache.write_check(KEY, CHECK)
    _build(cache)
    (cache.folder / below).chmod(0o707)
    cache = EngineCache(cache.folder)
    with pytest.raises(TrustError, match=rf"{below} .* can be written by everybody"):
        USES[use](cache)


def test_a_plan_that_others_may_write_is_refused(cache):
    cache.write_plan(KEY, PLAN)
    (path,) = (cache.folder / "plans").iterdir()
    path.chmod(0o666)
    with pytest.raises(TrustError, match=rf"{path.name} .* can be written by its group and everybody"):
        cache.read_plan(KEY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_somebody_else_is_refused(cache):
    cache.write_plan(KEY, PLAN)
    (path,) = (cache.folder / "plans").iterdir()
    os.chown(path, 12345, 0)
    with pytest.raises(TrustError, match=r"belongs to user 12345"):
        cache.read_plan(KEY)
    os.chown(cache.folder, 12345, 0)
    for use in USES.values():
        with pytest.raises(TrustError, match=r"engines belongs to user 12345"):
            use(cache)


@pytest.mark.parametrize("use", USES)
def test_a_cache_that_is_a_file_is_one_sentence(use, cache):
    cache.folder.write_bytes(b"")
    with pytest.raises(CacheError, match=r"engines.*(is no folder: give|File exists; give|Not a directory; give)"):
        USES[use](cache)
    assert cache.folder.read_bytes() == b""


def test_what_cannot_be_read_is_one_sentence(cache, monkeypatch):
    cache.write_plan(KEY, PLAN)

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(CacheError, match=r"cannot read .*\.json: Permission denied; give another cache_dir or set"):
        cache.read_plan(KEY)
    monkeypatch.undo()
    monkeypatch.setattr("resnexus.acceleration.planning.cache.check_own", denied)
    with pytest.raises(CacheError, match=r"cannot read .*engines: Permission denied"):
        cache.read_plan(KEY)


def test_a_full_disk_leaves_the_plan_before(cache, monkeypatch):
    cache.write_plan(KEY, PLAN)

    def full(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resnexus.acceleration.planning.cache.os.replace", full)
    with pytest.raises(NoSpaceError, match=r"no space left on the disk of .*plans: make room there, give another"):
        cache.write_plan(KEY, PLAN)
    monkeypatch.undo()
    assert cache.read_plan(KEY) == PLAN
    assert len(_stored(cache.folder)) == 1


def test_clearing_removes_plans_checks_and_builds(cache):
    assert cache.clear() == 0
    cache.write_plan(KEY, PLAN)
    cache.write_check(KEY, CHECK)
    _build(cache)
    assert cache.clear() > len(b"weights")
    assert _stored(cache.folder) == []
    assert cache.read_plan(KEY) is None
    assert cache.find_build(KEY) is None
    assert cache.clear() == 0


def test_clearing_leaves_what_is_not_the_caches_own(cache):
    _build(cache)
    (cache.folder / "notes.txt").write_text("mine")
    (cache.folder / "plans").mkdir()
    (cache.folder / "plans" / "notes.txt").write_text("mine")
    cache.clear()
    assert _stored(cache.folder) == ["notes.txt", "plans/notes.txt"]


def test_the_size_follows_the_environment(cache, monkeypatch):
    assert cache.builds.most_bytes == MOST_BYTES == 4 * 2**30
    monkeypatch.setenv(BYTES_VARIABLE, "1000000")
    assert EngineCache(cache.folder).builds.most_bytes == 1_000_000
    assert EngineCache(cache.folder, most_bytes=5).builds.most_bytes == 5
    for wrong in ("4 GiB", "-1", "1e9", "٣"):
        monkeypatch.setenv(BYTES_VARIABLE, wrong)
        with pytest.raises(ResnexusError, match=rf"RESNEXUS_ENGINES_BYTES={wrong}: expected a whole number of bytes"):
            EngineCache(cache.folder)


def test_one_at_a_time_for_a_key(cache):
    order = []
    inside, waits = threading.Event(), threading.Event()

    def second():
        inside.wait(60)
        with EngineCache(cache.folder).alone(KEY, waits.set):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with cache.alone(KEY, lambda: order.append("must not wait")):
        inside.set()
        assert waits.wait(60)
        with cache.alone({**KEY, "batch_size": 3}, lambda: order.append("must not wait either")):
            order.append("first")
    other.join(60)
    assert order == ["first", "second"]
