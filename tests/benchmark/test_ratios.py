import pytest

from resnexus import ResnexusError
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.ratios import Ratio, best_peer, geometric_mean, ratio_of


def cell(engine, rounds, **place):
    middle = sorted(rounds)[len(rounds) // 2]
    found = {"model": "a", "device": "cpu", "precision": "fp32", "batch_size": 1, "image_size": 224} | place
    return Cell(
        **found,
        engine=engine,
        median_ms=middle,
        p10_ms=min(rounds),
        p90_ms=max(rounds),
        repeats=len(rounds),
        rounds_ms=tuple(rounds),
    )


def test_a_machine_that_slows_down_does_not_change_a_ratio():
    peer = [1.0 + index for index in range(10)]
    found = ratio_of(cell("ours", [0.5 * value for value in peer]), cell("peer", peer))
    assert (found.median, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("count", "low", "confidence"),
    [(1, 0, 0.0), (5, 0, 0.9375), (6, 0, 0.96875), (8, 0, 0.9921875), (9, 1, 0.9609375), (10, 1, 0.978515625)],
)
def test_the_interval_leaves_out_what_a_coin_would(count, low, confidence):
    found = ratio_of(cell("ours", [1.0 + index for index in range(count)]), cell("peer", [1.0] * count))
    assert (found.low, found.high, found.confidence) == (1.0 + low, float(count - low), confidence)


def test_times_that_were_not_taken_together_are_not_divided():
    with pytest.raises(ResnexusError, match="not taken side by side"):
        ratio_of(cell("ours", [1.0]), cell("peer", [1.0, 2.0]))
    with pytest.raises(ResnexusError, match="not taken side by side"):
        ratio_of(cell("ours", [1.0]), cell("peer", [1.0], batch_size=8))


def test_the_best_peer_is_the_fastest_that_is_not_ours():
    ours, slow, fast = cell("resnexus", [1.0]), cell("eager", [4.0]), cell("openvino", [3.0])
    others = [cell("eager", [0.1], model="b"), cell("eager", [0.1], precision="bf16"), cell("x", [0.1], batch_size=8)]
    assert best_peer([ours, slow, fast, *others], ours, "fp32") == fast
    assert best_peer([ours], ours, "fp32") is None


def test_the_geometric_mean():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1)
    assert geometric_mean([0.25, 1.0]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 0.0}, "low=0.0: expected more than 0"),
        ({"low": 1.1}, "low=1.1, median=1.0, high=1.2: expected no value below the one before it"),
        ({"high": float("inf")}, "high=inf: expected more than 0"),
        ({"confidence": 1.01}, "confidence=1.01: expected 0 to 1"),
        ({"confidence": float("nan")}, "confidence=nan: expected 0 to 1"),
    ],
)
def test_a_ratio_lies_in_its_interval(change, message):
    with pytest.raises(ResnexusError, match=message):
        Ratio(**{"median": 1.0, "low": 0.9, "high": 1.2, "confidence": 0.95} | change)
