"""A record holds only what can be."""

from dataclasses import replace

import pytest

from resnexus.errors import ResnexusError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top1": 1.01}, "top1=1.01: expected 0 to 1"),
        ({"top5": float("nan")}, "top5=nan: expected 0 to 1"),
        ({"images": 0}, "images=0: expected a whole number of at least 1"),
        ({"epochs": 0}, "epochs=0"),
        ({"seconds": -1.0}, "seconds=-1.0: expected at least 0"),
    ],
)
def test_runs(comparison, change, message):
    with pytest.raises(ResnexusError, match=message):
        replace(comparison.networks[0].runs[0], **change)


@pytest.mark.parametrize("change", [{"gflops": 0.0}, {"mparams": float("inf")}, {"image_size": 0}])
def test_networks(comparison, change):
    with pytest.raises(ResnexusError, match=f"{next(iter(change))}="):
        replace(comparison.networks[0], **change)


@pytest.mark.parametrize("change", [{"gflops": 0.0}, {"top1": 2.0}, {"t4_ms": {"fp32_bs1": 0.0}}])
def test_the_series(comparison, change):
    with pytest.raises(ResnexusError, match="expected"):
        replace(comparison.series[0], **change)


@pytest.mark.parametrize("change", [{"chance": -0.1}, {"classes": 0}, {"schema": 9}])
def test_comparisons(comparison, change):
    with pytest.raises(ResnexusError, match=f"{next(iter(change))}="):
        replace(comparison, **change)
