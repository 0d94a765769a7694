"""Workers that take too long, die, or are killed; the functions are here so that workers can import them."""

import os
import signal
import time
from concurrent.futures import Future

import pytest

from resnexus import ResnexusError
from resnexus.prediction.pool import STARTUP_S, Lost, Pool

pytest.importorskip("pebble")


def work(argument):
    kind, value = argument
    if kind == "sleep":
        time.sleep(value)
    elif kind == "die":
        os._exit(3)
    elif kind == "die once":
        if not os.path.exists(value):
            open(value, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "lived"
    elif kind == "raise":
        raise KeyError(value)
    return value


@pytest.fixture
def pool():
    found = Pool(2)
    yield found
    found.close()


def test_what_goes_wrong_is_the_answer_of_its_call_alone(pool, tmp_path):
    done = Future()
    done.set_result("done already")
    calls = [("ok", number) for number in range(5)]
    calls[2:2] = [("sleep", 60), ("die", 0), ("die once", str(tmp_path / "mark"))]
    answers = list(pool.ordered(work, [*enumerate(calls), (8, done)], window=3, time_limit=2))
    assert answers == list(enumerate([0, 1, Lost.TIMED_OUT, Lost.DIED, "lived", 2, 3, 4, "done already"]))


def test_what_a_function_raises_is_raised(pool):
    with pytest.raises(KeyError, match="7"):
        list(pool.ordered(work, [(0, ("raise", 7))], window=1))


def test_a_pool_that_is_broken_is_started_anew(pool):
    """All workers killed while none works: pebble gives such a pool up."""
    assert list(pool.ordered(work, [(0, ("ok", 1))], window=1)) == [(0, 1)]
    for worker in list(pool._pool._pool_manager.worker_manager.workers):
        os.kill(worker, signal.SIGKILL)
    calls = [(number, ("ok", number)) for number in range(20)]
    assert list(pool.ordered(work, calls, window=4)) == [(number, number) for number in range(20)]


def test_a_pool_that_hangs_is_started_anew(pool):
    """A worker that was killed while it held the lock: the others wait for it."""
    assert list(pool.ordered(work, [(0, ("ok", 1))], window=1)) == [(0, 1)]
    times = iter([0.0])
    pool._clock = lambda: next(times, 2 * STARTUP_S)
    mutex = pool._pool._pool_manager.worker_manager.workers_channel.mutex
    assert mutex.reader_mutex.acquire(timeout=5)
    calls = [(number, ("ok", number)) for number in range(3)]
    assert list(pool.ordered(work, calls, window=4)) == [(number, number) for number in range(3)]


def test_workers_that_cannot_start_are_an_error():
    pool = Pool(1, os._exit, (1,))
    try:
        with pytest.raises(ResnexusError, match="worker processes end as soon as they start, 5 times in a row"):
            list(pool.ordered(work, [(0, ("ok", 1))], window=1))
    finally:
        pool.close()


def test_only_a_window_is_under_way(pool):
    asked = []

    def calls():
        for number in range(8):
            asked.append(number)
            yield number, ("ok", number)

    found = pool.ordered(work, calls(), window=3)
    assert next(found) == (0, 0)
    assert asked == [0, 1, 2, 3]
    assert len(list(found)) == 7
