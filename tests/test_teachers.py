"""Who may teach: a torch module with what is known of it."""

import pytest
from torch import nn

from resnexus import Preprocess, ResnexusError
from resnexus.progress import Silent
from resnexus.teachers import TeacherModule, open_teacher
from resnexus.weights.state_digest import state_sha256

SEEN = Preprocess(size=4, resize_short=4)


def module():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).train()


def test_a_module_is_known_by_its_class_and_its_state():
    network = module()
    taught = open_teacher(network, ("cat", "dog"), SEEN, Silent())
    assert (taught.name, taught.sha256) == ("module Sequential", state_sha256(network))
    assert taught.network is network
    assert not network.training
    assert taught.classes == ("cat", "dog")
    assert open_teacher(network, None, SEEN, Silent()).classes == ("0", "1")
    known = TeacherModule(network=network, preprocess=SEEN, classes=("a", "b"))
    assert open_teacher(known, None, SEEN, Silent()).classes == ("a", "b")


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"classes": ("dog", "cat")}, "teacher module Sequential has the same classes in another order"),
        ({"preprocess": Preprocess(size=4, mean=(0.5, 0.5, 0.5))}, "was trained on images normalised by mean="),
    ],
)
def test_what_is_known_of_a_module_must_fit(known, message):
    teacher = TeacherModule(**{"network": module(), "preprocess": SEEN} | known)
    with pytest.raises(ResnexusError, match=message):
        open_teacher(teacher, ("cat", "dog"), SEEN, Silent())


def test_a_module_of_other_classes():
    with pytest.raises(ResnexusError, match="teacher module Sequential tells 2 classes apart, and the data have 3"):
        open_teacher(module(), ("a", "b", "c"), SEEN, Silent())
