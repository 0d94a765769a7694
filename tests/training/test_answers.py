"""What a module is asked before a training, and what is said of one that cannot answer."""

import pytest
import torch
from torch import nn

from resnexus import Preprocess, ResnexusError
from resnexus.training.answers import count_answers

PREPROCESS = Preprocess(size=4, resize_short=4)


class Many(nn.Module):
    def forward(self, images):
        return {"logits": images}


def test_the_classes_are_counted_and_nothing_is_changed():
    norm = nn.BatchNorm1d(48).eval()
    network = nn.Sequential(nn.Flatten(), norm, nn.Linear(48, 7)).train()
    norm.eval()  # a part that its owner keeps as it is
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert count_answers(network, "it", PREPROCESS) == 7
    assert [module.training for module in network.modules()] == [True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(5, 2), r"teacher X does not take images of \(1, 3, 4, 4\): "),
        (Many(), r"teacher X returns dict for images of \(1, 3, 4, 4\), expected logits, \(N, classes\): wrap it"),
        (nn.Identity(), r"teacher X returns a tensor of \(1, 3, 4, 4\) for images"),
    ],
)
def test_what_cannot_be_asked(network, message):
    with pytest.raises(ResnexusError, match=message):
        count_answers(network, "teacher X", PREPROCESS)
