"""Near hashes are found without comparing all pairs, and they are those that comparing all pairs finds."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from resnexus.distillation import neighbours
from resnexus.distillation.neighbours import HashIndex, reaches


def drawn(random, pictures, versions):
    return random.integers(0, 256, (pictures, versions, 8), dtype=np.uint8)


def counted(pool, others, limit, most):
    """What `HashIndex` gives, by comparing all pairs."""
    bits = np.unpackbits(pool[:, None, :, None] ^ others[None, :, None], axis=-1).sum(-1).min((2, 3))
    found = []
    for picture, row in enumerate(bits):
        order = [int(other) for other in np.argsort(row, kind="stable") if row[other] <= limit][:most]
        found += [(picture, other, int(row[other])) for other in order]
    return found


@hypothesis.given(
    st.integers(0, 2**32), st.integers(0, 32), st.integers(1, 5), st.integers(0, 12), st.sampled_from([1, 40, 2**22])
)
@hypothesis.settings(max_examples=60)
def test_near_ones_are_those_that_counting_finds(seed, limit, most, pictures, held):
    random = np.random.default_rng(seed)
    pool, others = drawn(random, pictures, 3), drawn(random, 17, 2)
    for picture in range(
        pictures
    ):  # copies that differ in up to forty bits, wherever those are, and some of them twice
        noise = np.packbits(random.permutation(64) < random.integers(0, 40))
        others[random.integers(0, 17, 2), random.integers(0, 2, 2)] = pool[picture, random.integers(3)] ^ noise
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_HELD", held)
        near = HashIndex(others, limit).near(pool, most)
    assert list(zip(*(part.tolist() for part in near), strict=True)) == counted(pool, others, limit, most)


@pytest.mark.parametrize("limit", range(33))
def test_no_difference_is_beyond_every_word(limit):
    """The words' own limits add up so that a difference beyond all of them is beyond the limit, by a single bit."""
    assert sum(reach + 1 for reach in reaches(limit)) == limit + 1
    assert max(reaches(limit)) - min(reaches(limit)) <= 1


def test_equal_hashes_by_the_thousand_keep_their_nearest(monkeypatch):
    monkeypatch.setattr(neighbours, "_HELD", 1000)
    pool, others = np.zeros((40, 1, 8), np.uint8), np.zeros((300, 2, 8), np.uint8)
    others[7, 1, 0] = others[8, :, 0] = 255
    near = HashIndex(others, 3).near(pool, 9)
    assert near.pictures.tolist() == [picture for picture in range(40) for _ in range(9)]
    assert near.others.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9] * 40
    assert set(near.distances.tolist()) == {0}


def test_few_pairs_are_compared(monkeypatch):
    pairs = 0
    real = neighbours._distances

    def distances(first, second):
        nonlocal pairs
        pairs += len(first) * len(second)
        return real(first, second)

    monkeypatch.setattr(neighbours, "_distances", distances)
    random = np.random.default_rng(0)
    HashIndex(drawn(random, 2000, 1), 14).near(drawn(random, 1500, 1), 32)
    # 137 of the 65,536 words differ in at most two bits from one, and 697 in at most three.
    assert pairs / (2000 * 1500) == pytest.approx((137 + 3 * 697) / 2**16, rel=0.02)
