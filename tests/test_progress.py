"""A job is told in bars on a terminal, and in a file or a pipe in a line from time to time."""

import re

import pytest

from clocks import ManualClock
from resnexus.progress import LINE_S, Shown, Silent


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    """Whatever the environment of the tests says of colours."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def terminal(monkeypatch):
    """Let standard error pass for a terminal of 100 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_a_file_gets_a_line_from_time_to_time(clock, capsys):
    assert LINE_S == 30
    with Shown(clock.now).stage("training", 8) as step:
        for _ in range(8):
            clock.sleep(12)
            step()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training",
        "training: 3 of 8 after 0:00:36, 0:01:00 left",
        "training: 6 of 8 after 0:01:12, 0:00:24 left",
        "training: 8 of 8 after 0:01:36",
    ]


def test_several_steps_at_once_and_hours(clock, capsys):
    with Shown(clock.now).stage("a.pdparams, MB", 400) as step:
        step(0)  # nothing was there before
        clock.sleep(3661)
        step(100)
    assert capsys.readouterr().err.splitlines() == [
        "a.pdparams, MB",
        "a.pdparams, MB: 100 of 400 after 1:01:01, 3:03:03 left",
    ]


def test_what_is_said_is_one_line_as_it_stands(capsys):
    long = "not used: " + "[bold]x[/bold] [1m [/] :warning: 3 of 4 " * 9
    Shown().say(long)
    assert capsys.readouterr() == ("", f"{long}\n")


def test_a_terminal_gets_a_bar(terminal, clock, capsys):
    shown = Shown(clock.now)
    with shown.stage("training [b]plain[/b]", 3) as step:
        shown.say("one bad image")
        step()
        step(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", captured.err)
    assert "one bad image\n" in plain
    assert re.search(r"training \[b\]plain\[/b\] ━+ 3/3 0:00:00", plain)
    assert " of 3 after" not in plain


def test_silence(capsys):
    with Silent().stage("training", 3) as step:
        step()
        step(2)
    Silent().say("nobody hears this")
    assert capsys.readouterr() == ("", "")
