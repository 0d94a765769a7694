from __future__ import annotations

import pytest

from resnexus.acceleration.backends.contract import Job
from resnexus.benchmark.cases import case
from resnexus.errors import ResnexusError
from studies import engine_memory
from studies.engine_memory import footprint, memory_mib


def test_memory_is_what_linux_says(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t    3072 kB\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\n")
    monkeypatch.setattr(engine_memory, "_STATUS", status)
    assert (memory_mib("VmRSS"), memory_mib("VmHWM")) == (2.0, 3.0)


def test_a_system_that_does_not_tell_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(engine_memory, "_STATUS", tmp_path / "status")
    with pytest.raises(ResnexusError, match="does not say how much memory"):
        memory_mib("VmRSS")


@pytest.mark.slow  # a process that imports everything
def test_the_plain_network_takes_little_more_than_its_maps(tmp_path):
    job = Job(batch_size=1, image_size=(64, 64))
    found = footprint(case("mlperf-detector"), "ResNeXt50_32x4d", "eager", job, tmp_path)
    assert 85 < found.weights_mib < 95
    assert found.peak_mib >= found.resident_mib
