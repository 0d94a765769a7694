"""Workers that take too long, die, or are killed; the functions are here so that workers can import them."""

import os
import signal
import subprocess
import sys
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
    elif kind == "sleep once":
        if not os.path.exists(value):
            with open(value, "w") as file:
                file.write(str(os.getpid()))
            time.sleep(3600)
        return "woken"
    elif kind == "raise":
        raise KeyError(value)
    return value


@pytest.fixture
def pool():
    found = Pool(2, lives=2)
    yield found
    found.close()


def test_what_goes_wrong_is_the_answer_of_its_call_alone(pool, tmp_path):
    done = Future()
    done.set_result("done already")
    calls = [("ok", number) for number in range(5)]
    calls[2:2] = [("die", 0), ("die once", str(tmp_path / "mark"))]
    answers = list(pool.ordered(work, [*enumerate(calls), (7, done)], window=3))
    assert answers == list(enumerate([0, 1, Lost.DIED, "lived", 2, 3, 4, "done already"]))


def test_a_call_that_takes_too_long_is_ended(pool):
    """Nobody waits for the hour; the next pass finds workers as if nothing had been."""
    assert list(pool.ordered(work, [(0, ("sleep", 3600))], window=1, time_limit=0.5)) == [(0, Lost.TIMED_OUT)]
    assert list(pool.ordered(work, [(1, ("ok", 5))], window=1)) == [(1, 5)]


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
    assert mutex.reader_mutex.acquire(timeout=60)
    calls = [(number, ("ok", number)) for number in range(3)]
    assert list(pool.ordered(work, calls, window=4)) == [(number, number) for number in range(3)]


def test_a_call_whose_worker_is_gone_unseen_is_begun_again(pool, tmp_path):
    """As if it had died before pebble knew that it had begun."""
    mark, killed = tmp_path / "mark", []
    workers = pool._pool._pool_manager.worker_manager.workers

    def is_unattended(future, real=pool.is_unattended):
        if not killed and mark.exists() and mark.read_text() and future.running():
            killed.append(int(mark.read_text()))
            workers.pop(killed[0])
            os.kill(killed[0], signal.SIGKILL)
        return real(future)

    pool.is_unattended = is_unattended
    assert list(pool.ordered(work, [(0, ("sleep once", str(mark)))], window=1)) == [(0, "woken")]
    assert killed


def test_a_process_that_ends_waits_for_no_worker():
    """Python waits for the processes of one that ends, and these for their orders."""
    code = """
from resnexus.prediction.pool import Pool
pool = Pool(1, preload="math")
print(*pool.ordered(abs, [(0, -3)], window=1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 3)\n"


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
