"""Ctrl-C ends the block even where Python drops the exception, and breaks no import."""

import _thread
import contextlib
import importlib
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

from resnexus import cli
from resnexus.cli import interrupt as module
from resnexus.cli.interrupt import Interrupt


class Clock:
    """Stands still until it is moved on."""

    def __init__(self):
        self.now, self.looks = 0.0, 0

    def __call__(self):
        self.looks += 1
        return self.now

    def move_on(self):
        self.now += 2 * module.AGAIN_S

    def strike(self):
        """Move on and wait for what happens then."""
        self.move_on()
        time.sleep(600)

    def wait_for_looks(self, count=3):
        """Wait until the time was looked at so often since, and acted upon."""
        looks = self.looks
        while self.looks < looks + count:
            time.sleep(0.01)


@pytest.fixture
def clock():
    return Clock()


def press():
    """Send SIGINT and give Python the time to hear it here."""
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):
        pass


class Finalised:
    def __del__(self):
        press()


def drop_in_a_finaliser():
    Finalised()


def drop_in_a_callback():
    # The reference lives until its target is gone.
    reference = weakref.ref(target := type("Target", (), {})(), lambda _: press())
    del target
    assert reference() is None


def drop_by_catching():
    with contextlib.suppress(BaseException):
        press()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("drop", [drop_in_a_finaliser, drop_in_a_callback, drop_by_catching])
def test_a_dropped_interruption_is_raised_again_and_again(drop, clock):
    with Interrupt(clock) as interrupt:
        drop()
        assert interrupt.received
        for _ in range(2):
            clock.wait_for_looks()  # raises nothing before its time
            with pytest.raises(KeyboardInterrupt):
                clock.strike()


def test_it_is_raised_at_once_and_no_more_after_the_block(clock):
    before, threads = signal.getsignal(signal.SIGINT), _thread._count()
    interrupt = Interrupt(clock)
    with pytest.raises(KeyboardInterrupt), interrupt:
        press()
    assert interrupt.received
    assert signal.getsignal(signal.SIGINT) is before
    clock.move_on()
    while _thread._count() > threads:
        time.sleep(0.01)


def write_module(folder, name, line):
    (folder / f"{name}.py").write_text(
        f"import signal, time\nsignal.raise_signal(signal.SIGINT)\n{line}\nwhole = True\n"
    )


def test_an_import_ends_first(tmp_path, monkeypatch, clock):
    write_module(tmp_path, "quick", "time.sleep(0.3)")
    monkeypatch.syspath_prepend(tmp_path)
    with Interrupt(clock), pytest.raises(KeyboardInterrupt):
        time.sleep(600 * importlib.import_module("quick").whole)
    assert sys.modules.pop("quick").whole


def test_a_long_import_ends_the_process(tmp_path):
    write_module(tmp_path, "slow", "time.sleep(600)")
    code = "from resnexus.cli.interrupt import Interrupt\nwith Interrupt(): import slow"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted; what was finished is kept\n")


def test_it_is_heard_where_it_was_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), Interrupt():
            press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_library_that_ignores_it_is_left_in_peace(clock):
    with Interrupt(clock):
        drop_by_catching()
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        clock.move_on()
        clock.wait_for_looks()
        signal.signal(signal.SIGINT, handler)
        with pytest.raises(KeyboardInterrupt):
            clock.strike()


def test_another_thread_runs_as_it_is():
    found = []

    def run():
        with Interrupt() as interrupt:
            found.append((signal.getsignal(signal.SIGINT), interrupt.received))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(before, False)]


BROKEN = """
import atexit, signal
from resnexus import cli
from resnexus.cli import application

def broken():
    try:
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):
            pass
    except KeyboardInterrupt as interruption:
        interruption.add_note("the training is lost")
        raise RuntimeError("a worker is gone") from None

application.app = broken
atexit.register(print, "tidied up")
cli.main()
"""


def test_what_an_interruption_breaks_is_an_interruption():
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "tidied up\n")
    assert done.stderr == "interrupted; what was finished is kept; the training is lost\n"


def test_other_errors_are_what_they_are(monkeypatch):
    def broken():
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("resnexus.cli.application.app", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        cli.main()
