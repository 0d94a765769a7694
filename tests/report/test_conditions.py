from dataclasses import replace

from resnexus.report.conditions import facts, quick_note, repeats, summary


def test_facts_are_the_records(comparison):
    found = {title: dict(rows) for title, rows in facts(comparison).items()}
    assert found["Data"]["Training images"] == "1,437"
    assert found["Machine"]["GPU"] == "none"
    assert found["Machine"]["Memory"] == "15.6 GiB"
    assert found["Versions"]["torch"] == "2.14.1"
    assert found["Settings"] == {
        "epochs": "60",
        "batch size": "64",
        "learning rate": "0.1",
        "mixup": "0.2",
        "amp": "no",
        "weights": "none",
    }
    assert found["Engines"] == {"eager": "PyTorch as it is"}


def test_what_the_system_does_not_say(comparison):
    environment = replace(comparison.environment, memory_gib=None, gpu="A <GPU>", packages={})
    changed = replace(comparison, environment=environment)
    assert dict(facts(changed)["Machine"])["Memory"] == "unknown"
    assert "GPU A <GPU>; Python 3.12.4." in summary(changed)[1]
    assert summary(comparison)[2] == "Measured: 2025-06-01 12:00:00 UTC."


def test_quick_note(comparison):
    assert quick_note(comparison).startswith("Quick mode: 5 of 28 networks were timed here, with few repeats:")
    assert quick_note(replace(comparison, series_latency=())) == "The series was not timed on this machine."
    cell = comparison.series_latency[0]
    every = tuple(replace(cell, model=network.architecture) for network in comparison.series)
    assert quick_note(replace(comparison, series_latency=every, quick=False)) == ""
    assert quick_note(replace(comparison, series_latency=every)).startswith("Quick mode: all 28 networks")
    assert quick_note(replace(comparison, series=(), series_latency=())) == ""


def test_repeats(comparison):
    assert repeats(comparison) == "15 timed calls"
    more = (replace(comparison.latency[0], repeats=30), *comparison.latency[1:])
    assert repeats(replace(comparison, latency=more)) == "15 to 30 timed calls"
    assert repeats(replace(comparison, latency=(), series_latency=())) == ""
