import numpy as np
import pytest
import torch

from resnexus.training.lamb import Lamb


def by_hand(weight, gradients, lr, betas, eps, decay):
    """Algorithm 2 of You et al. 2019, in NumPy."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for count, gradient in enumerate(gradients, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        step = (mean / (1 - betas[0] ** count)) / (np.sqrt(square / (1 - betas[1] ** count)) + eps) + decay * weight
        trust = np.linalg.norm(weight) / np.linalg.norm(step) if decay else 1.0
        weight = weight - lr * trust * step
    return weight


@pytest.mark.parametrize("decay", [0.02, 0.0])
def test_three_steps_are_those_of_the_paper(decay):
    random = np.random.default_rng(0)
    start, gradients = random.standard_normal((4, 3)), random.standard_normal((3, 4, 3))
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = Lamb([parameter], lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=decay)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    expected = by_hand(start, gradients, 0.1, (0.8, 0.95), 1e-6, decay)
    assert np.allclose(parameter.detach().numpy(), expected, rtol=1e-12, atol=0)


def test_a_weight_of_zero_moves_all_the_same():
    parameter = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = Lamb([parameter], lr=0.5, weight_decay=0.1, eps=0.0)
    parameter.grad = torch.tensor([1.0, -4.0], dtype=torch.float64)
    optimizer.step()
    assert parameter.tolist() == [-0.5, 0.5]


def test_its_state_goes_on_after_loading():
    random = torch.Generator().manual_seed(0)
    gradients = [torch.randn(3, generator=random) for _ in range(4)]

    def run(parameter, optimizer, part):
        for gradient in part:
            parameter.grad = gradient.clone()
            optimizer.step()

    whole = torch.nn.Parameter(torch.ones(3))
    run(whole, Lamb([whole], lr=0.1, weight_decay=0.1), gradients)
    first = torch.nn.Parameter(torch.ones(3))
    before = Lamb([first], lr=0.1, weight_decay=0.1)
    run(first, before, gradients[:2])
    second = torch.nn.Parameter(first.detach().clone())
    after = Lamb([second], lr=0.1, weight_decay=0.1)
    after.load_state_dict(before.state_dict())
    run(second, after, gradients[2:])
    assert torch.equal(whole, second)
