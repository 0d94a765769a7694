import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnexus.training.losses import soft_cross_entropy, soft_targets
from resnexus.training.mixing import mixup


def test_soft_cross_entropy_equals_pytorchs():
    logits, labels = torch.randn(5, 7, dtype=torch.float64), torch.tensor([0, 3, 6, 1, 1])
    for smoothing in (0.0, 0.1, 1.0):
        ours = soft_cross_entropy(logits, soft_targets(labels, 7), smoothing)
        assert torch.allclose(ours, torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing))


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.randn(4, 1000).bfloat16()
    loss = soft_cross_entropy(logits, soft_targets(torch.arange(4), 1000))
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, soft_cross_entropy(logits.float(), soft_targets(torch.arange(4), 1000)))


def test_mixup_blends_images_and_targets_alike():
    images = torch.arange(4.0).reshape(4, 1, 1, 1)
    mixed, targets = mixup(images, torch.eye(4), 0.2, np.random.default_rng(3))
    # An image of value v has target e_v, so the blend of targets tells the blend of values.
    assert torch.allclose(mixed.flatten(), targets @ torch.arange(4.0), atol=1e-6)
    assert torch.allclose(targets.sum(1), torch.ones(4))
    share = np.random.default_rng(3).beta(0.2, 0.2)
    assert {round(value, 5) for value in targets.flatten().tolist()} <= {0.0, 1.0, round(share, 5), round(1 - share, 5)}


def test_no_mixup():
    images, targets = torch.randn(3, 1, 2, 2), torch.eye(3)
    assert mixup(images, targets, 0.0, np.random.default_rng(0)) == (images, targets)


@given(seed=st.integers(0, 2**32 - 1), alpha=st.floats(0.01, 10))
def test_a_mix_stays_between_its_images(seed, alpha):
    images = torch.tensor([0.0, 1.0, 1.0]).reshape(3, 1, 1, 1)
    mixed, targets = mixup(images, torch.eye(3), alpha, np.random.default_rng(seed))
    assert mixed.min() >= 0
    assert mixed.max() <= 1 + 1e-6
    assert torch.allclose(targets.sum(1), torch.ones(3), atol=1e-5)
