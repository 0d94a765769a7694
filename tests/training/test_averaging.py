import pytest
import torch
from torch import nn

from resnexus.training.averaging import MovingAverage


def network():
    return nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)).double()


def set_weight(module, value):
    with torch.no_grad():
        module[0].weight.fill_(value)


def test_floats_are_averaged_and_counters_copied():
    module = network()
    set_weight(module, 1.0)
    average = MovingAverage(module, 0.75)
    for value, mean in ((2.0, 10.0), (3.0, 20.0)):
        set_weight(module, value)
        module[1].running_mean.fill_(mean)
        module[1].num_batches_tracked.add_(1)
        average.update(module)
    state = average.state_dict()
    assert state["0.weight"].item() == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 2) + 0.25 * 3, abs=1e-15)
    assert state["1.running_mean"].item() == pytest.approx(0.75 * 2.5 + 0.25 * 20)
    assert state["1.num_batches_tracked"].item() == 2


def test_the_network_gets_its_own_weights_back_even_after_an_error():
    module = network()
    set_weight(module, 1.0)
    average = MovingAverage(module, 0.5)
    set_weight(module, 3.0)
    average.update(module)

    def fails():
        with average.applied(module):
            assert module[0].weight.item() == 2.0
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fails()
    assert module[0].weight.item() == 3.0
    set_weight(module, 5.0)
    assert average.state_dict()["0.weight"].item() == 2.0, "the average must not share memory with the network"


def test_a_loaded_average_goes_on():
    module = network()
    set_weight(module, 0.0)
    average, again = MovingAverage(module, 0.9), MovingAverage(module, 0.9)
    set_weight(module, 1.0)
    average.update(module)
    again.load_state_dict(average.state_dict())
    again.update(module)
    assert again.state_dict()["0.weight"].item() == pytest.approx(0.19)
    assert average.state_dict()["0.weight"].item() == pytest.approx(0.1)
