"""A cache whose processes are killed at any moment holds whole things, or nothing."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import warnings

import pytest
from test_plan import PLAN

from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.plan import Check

KEYS = [{"network": number} for number in range(6)]
CHECK = Check(agreement=PLAN.agreement, images=3)
KILLS = 60


def _files(key) -> dict[str, bytes]:
    draw = random.Random(key["network"])
    return {name: draw.randbytes(150_000) for name in ("model.bin", "model.xml")}


def _keep(cache, key) -> None:
    with cache.scratch() as scratch:
        built = scratch / "built"
        built.mkdir()
        for name, content in _files(key).items():
            (built / name).write_bytes(content)
        cache.keep_build(key, built)


def _work(folder) -> None:
    """Do what planners do, with room for three of the six built networks, until this process is killed."""
    draw = random.Random()
    while True:
        cache = EngineCache(folder, most_bytes=1_000_000)
        for _ in range(5):
            key = draw.choice(KEYS)
            with cache.alone(key, lambda: None):
                if cache.find_build(key) is None:
                    _keep(cache, key)
                cache.write_check(key, CHECK)
                cache.write_plan(key, PLAN)
        if draw.random() < 0.1:
            cache.clear()


def _check(folder) -> int:
    """Check that everything there is whole, and return how many built networks there are."""
    cache, built = EngineCache(folder), 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key in KEYS:
            assert cache.read_plan(key) in (None, PLAN)
            assert cache.read_check(key) in (None, CHECK)
            found = cache.find_build(key)
            if found is not None:
                assert {name: (found / name).read_bytes() for name in _files(key)} == _files(key)
                built += 1
    return built


@pytest.mark.slow
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no process is forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_killed_at_any_moment_it_is_whole(tmp_path):
    forking, moments, folder = multiprocessing.get_context("fork"), random.Random(0), tmp_path / "engines"

    def start():
        process = forking.Process(target=_work, args=(folder,))
        process.start()
        return process

    working, built = [start(), start()], []
    for number in range(KILLS):
        victim = working[number % 2]
        victim.join(moments.uniform(0, 0.2))  # or until it fails
        victim.kill()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL
        built.append(_check(folder))
        working[number % 2] = start()
    for process in working:
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert max(built) >= 3
    for left in folder.rglob(".being-*"):
        os.utime(left, (0, 0))
    with EngineCache(folder).scratch():
        pass
    assert {path.name for path in folder.iterdir()} == {"built", "checks", "locks", "plans"}
    assert list(folder.rglob(".being-*")) == []
    _check(folder)
