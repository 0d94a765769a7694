import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnexus.training.losses import (
    DIVERGENCES,
    UNLABELLED,
    distance,
    distilled_loss,
    soft_cross_entropy,
    soft_targets,
)
from resnexus.training.mixing import mixup
from resnexus.training.sections import Distil, Target


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


def answers(seed=0, images=5, classes=4):
    """Logits of a network and of a teacher, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(2, images, classes, dtype=torch.float64, generator=generator)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def relative(p, q):
    """KL(p || q) of every row, as it is defined."""
    return (p * np.log(p / q)).sum(1)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_every_divergence_is_what_defines_it(temperature):
    logits, theirs = answers()
    q, p = (softmax(side.numpy() / temperature) for side in (logits, theirs))
    middle = (p + q) / 2
    expected = {
        "kl": relative(p, q),
        "cross_entropy": -(p * np.log(q)).sum(1),
        "symmetric_kl": (relative(p, q) + relative(q, p)) / 2,
        "jensen_shannon": (relative(p, middle) + relative(q, middle)) / 2,
    }
    assert set(expected) == set(DIVERGENCES)
    for name, rows in expected.items():
        found = distance(logits, theirs, Distil(distillation=name, temperature=temperature))
        assert float(found) == pytest.approx(temperature**2 * rows.mean(), rel=1e-12), name


@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients_of_the_divergences(name):
    logits, theirs = answers()
    logits.requires_grad_()
    distil = Distil(distillation=name, temperature=2.0)
    assert torch.autograd.gradcheck(lambda x: distance(x, theirs, distil), logits)
    # Where both agree there is nothing to learn.
    (still,) = torch.autograd.grad(distance(logits, logits.detach() + 7, distil), logits)
    assert still.abs().max() < 1e-12


def test_cross_entropy_and_divergence_have_one_gradient_in_closed_form():
    """T^2 d/dz CE(softmax(z / T)) = T (q - p) / N."""
    logits, theirs = answers()
    logits.requires_grad_()
    for temperature in (1.0, 4.0):
        expected = temperature * (
            softmax(logits.detach().numpy() / temperature) - softmax(theirs.numpy() / temperature)
        )
        for name in ("kl", "cross_entropy"):
            distil = Distil(distillation=name, temperature=temperature)
            (found,) = torch.autograd.grad(distance(logits, theirs, distil), logits)
            assert np.allclose(found.numpy(), expected / 5, rtol=1e-12, atol=1e-14)


def test_the_bounds_of_the_divergences():
    """Two that are sure of different classes: Jensen-Shannon ends at log 2, the others at the logits' distance."""
    one, other = torch.tensor([[60.0, 0.0]]), torch.tensor([[0.0, 60.0]])
    found = {name: float(distance(one, other, Distil(distillation=name))) for name in DIVERGENCES}
    assert found["jensen_shannon"] == pytest.approx(np.log(2), rel=1e-6)
    assert [found[name] for name in ("kl", "cross_entropy", "symmetric_kl")] == pytest.approx([60.0] * 3, rel=1e-6)


def test_a_picture_without_a_label_asks_for_nothing():
    logits, theirs = answers(images=3, classes=4)
    targets = soft_targets(torch.tensor([2, UNLABELLED, 0]), 4)
    assert targets.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    distil, smoothed = Distil(distillation="kl", label_weight=2.0), Target(label_smoothing=0.1)
    logits.requires_grad_()
    loss = distilled_loss(logits, targets.double(), theirs, smoothed, distil)
    known = torch.nn.functional.cross_entropy(
        logits[[0, 2]], torch.tensor([2, 0]), label_smoothing=0.1, reduction="sum"
    )
    far = distance(logits, theirs, distil)
    assert torch.allclose(loss, far + 2 * known / 3)
    (by_labels,) = torch.autograd.grad(loss - distance(logits, theirs, distil), logits)
    assert by_labels[1].abs().max() < 1e-15
    assert by_labels[0].abs().max() > 1e-3


def test_what_is_mixed_with_a_picture_without_a_label_is_asked_for_its_part():
    logits = torch.randn(1, 4, dtype=torch.float64)
    part = torch.tensor([[0.0, 0.3, 0.0, 0.0]], dtype=torch.float64)
    whole = torch.tensor([[0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(soft_cross_entropy(logits, part, 0.2), 0.3 * soft_cross_entropy(logits, whole, 0.2))
