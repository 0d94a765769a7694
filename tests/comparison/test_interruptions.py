import pytest

from resnexus.comparison.interruptions import goes_on_later
from resnexus.training.stopping import Stopped


def test_what_ends_a_training_says_that_it_goes_on():
    with pytest.raises(KeyboardInterrupt) as caught, goes_on_later("ResNet_small, seed 1"):
        raise KeyboardInterrupt
    assert caught.value.__notes__ == ["the training of ResNet_small, seed 1 goes on after its last whole epoch"]


def test_a_training_that_was_stopped_says_so_itself():
    with pytest.raises(Stopped) as caught, goes_on_later("ResNet_small, seed 1"):
        raise Stopped("here")
    assert not hasattr(caught.value, "__notes__")
