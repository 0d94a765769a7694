import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnexus.training.losses import soft_targets
from resnexus.training.mixing import cutmix, mixed, mixup
from resnexus.training.sections import Target


def batch(count=6, size=8):
    images = torch.arange(count).float()[:, None, None, None].expand(count, 1, size, size).contiguous()
    return images, soft_targets(torch.arange(count), count)


def test_mixup_blends_by_the_share_that_the_generator_gives():
    images, targets = batch()
    found, asked = mixup(images, targets, 0.2, np.random.default_rng(3))
    random = np.random.default_rng(3)
    share, other = random.beta(0.2, 0.2), random.permutation(6)
    assert torch.allclose(found, share * images + (1 - share) * images[other])
    assert torch.allclose(asked, share * torch.eye(6) + (1 - share) * torch.eye(6)[other])


@given(seed=st.integers(0, 10_000), size=st.integers(1, 9))
def test_cutmix_targets_are_the_shares_of_the_area(seed, size):
    images, targets = batch(size=size)
    found, asked = cutmix(images, targets, 1.0, np.random.default_rng(seed))
    for row in range(len(images)):
        values, counts = found[row].unique(return_counts=True)
        shares = torch.zeros(6)
        shares[values.long()] = counts / size**2
        assert torch.allclose(asked[row], shares, atol=1e-6)


def test_with_both_each_gets_its_turn_and_with_none_nothing_changes():
    images, targets = batch()
    target = Target(mixup_alpha=0.2, cutmix_alpha=1.0)
    cut = [bool((mixed(images, targets, target, np.random.default_rng(seed))[0] % 1 == 0).all()) for seed in range(200)]
    assert 60 < sum(cut) < 140
    found, asked = mixed(images, targets, Target(), np.random.default_rng(0))
    assert found is images
    assert asked is targets


@pytest.mark.parametrize("target", [Target(mixup_alpha=0.2), Target(cutmix_alpha=1.0)])
def test_the_same_draws_give_the_same_batch(target):
    images, targets = batch()
    first, again = (mixed(images, targets, target, np.random.default_rng((1, 2, 3))) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
