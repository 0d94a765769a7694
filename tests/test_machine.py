from __future__ import annotations

import platform

import pytest
import torch

import resnexus
from resnexus import machine
from resnexus.acceleration.backends.registry import backend, versions
from resnexus.errors import ResnexusError
from resnexus.machine import check_threads, processor, usable_cores


def test_threads_are_pytorchs_unless_told(monkeypatch):
    assert check_threads(1) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10**6)
    assert check_threads(None) == usable_cores()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert check_threads(None) == 1


@pytest.mark.parametrize("threads", [0, -1, True, 1.0, "2", 10**6])
def test_threads_out_of_range(threads):
    with pytest.raises(ResnexusError, match=r"threads=.*: expected a whole number from 1 to the \d+ usable cores"):
        check_threads(threads)


def test_versions_and_processor():
    found = versions([backend("torch")], "fp32")
    assert found["resnexus"] == resnexus.__version__
    assert found.keys() == {"resnexus", "python", "torch"}
    assert processor()


def test_two_generations_of_one_name_are_told_apart(monkeypatch):
    fields = {"model name": "AMD EPYC", "cpu family": "25", "model": "17"}
    monkeypatch.setattr(machine, "_cpuinfo", lambda: fields)
    assert machine.processor_name() == "AMD EPYC, family 25, model 17"
    monkeypatch.setattr(machine, "_cpuinfo", lambda: fields | {"cpu family": "26"})
    assert machine.processor_name() == "AMD EPYC, family 26, model 17"
    monkeypatch.setattr(machine, "_cpuinfo", lambda: {})
    assert machine.processor_name() in (platform.processor(), platform.machine())
