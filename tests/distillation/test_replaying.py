"""Kept answers are mixed as the images are."""

import numpy as np
import pytest
import torch
from torch import nn

from resnexus.distillation.objectives import objective
from resnexus.distillation.replay import AnsweredBatch
from resnexus.distillation.replaying import Replaying


class Logarithm(nn.Module):
    """Answers with the probabilities that its image is made of."""

    def forward(self, images):
        return images.flatten(1).log()


@pytest.mark.parametrize("alphas", [{"mixup_alpha": 0.0}, {"mixup_alpha": 1.0}])
def test_a_network_that_agrees_with_every_answer_agrees_with_their_mixture(alphas):
    answers = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(1)
    batch = AnsweredBatch(images=answers[:, :, None, None], labels=torch.full((6,), -1), answers=answers, bad=())
    learner = Replaying(Logarithm(), 3, objective("distil", "kl", None, alphas), loader=None)
    assert float(learner.loss(batch, np.random.default_rng(3))) == pytest.approx(0, abs=1e-7)


def test_a_class_without_any_probability_is_no_accident():
    answers = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    batch = AnsweredBatch(
        images=torch.tensor([[0.5, 0.5]] * 2)[:, :, None, None], labels=torch.tensor([-1, -1]), answers=answers
    )
    learner = Replaying(Logarithm(), 2, objective("distil", "kl", None, {"mixup_alpha": 0.0}), loader=None)
    assert float(learner.loss(batch, np.random.default_rng(0))) == pytest.approx(np.log(2) / 2, rel=1e-6)
