import signal
import threading
from dataclasses import dataclass

import pytest

from resnexus.comparison.interruptions import goes_on_later, remove_unfinished, stoppable, unfinished_path
from resnexus.training.stopping import Stopped


def test_what_ends_a_training_says_that_it_goes_on():
    with pytest.raises(KeyboardInterrupt) as caught, goes_on_later("ResNet_small, seed 1"):
        raise KeyboardInterrupt
    assert caught.value.__notes__ == ["the training of ResNet_small, seed 1 goes on after its last whole epoch"]


def test_a_training_that_was_stopped_says_so_itself():
    with pytest.raises(Stopped) as caught, goes_on_later("ResNet_small, seed 1"):
        raise Stopped("here")
    assert not hasattr(caught.value, "__notes__")


def test_sigterm_ends_whatever_runs(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match=str(tmp_path)), stoppable(tmp_path):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_signals_are_left_alone(tmp_path):
    def inside():
        with stoppable(tmp_path):
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers = []
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


@dataclass
class _Job:
    name: str
    title: str = "a job"


def test_the_folder_of_the_unfinished_goes_with_the_last(tmp_path):
    one, other = _Job("one"), _Job("other")
    for job in (one, other):
        unfinished_path(job, tmp_path).mkdir(parents=True)
    remove_unfinished(one, tmp_path)
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["other"]
    remove_unfinished(other, tmp_path)
    remove_unfinished(other, tmp_path)
    assert list(tmp_path.iterdir()) == []
