"""Networks by name with other weights than the published ones."""

import pytest
import torch

from resnexus import ResnexusError, create_model
from resnexus.architectures.siblings import SIBLINGS
from resnexus.series.imagenet import imagenet_classes
from resnexus.subject import open_subject


def test_random_weights_are_the_same_every_time():
    first, second = (open_subject("ResNet_small", weights="random") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True))
    assert (first.weights_sha256, first.preprocess, first.published) == ("", None, None)
    assert first.classes == imagenet_classes()


def test_weights_for_a_network_by_name(tmp_path):
    row = SIBLINGS["ResNet_small"]
    torch.save(create_model(row, num_classes=3).state_dict(), tmp_path / "plain.pth")
    assert open_subject("ResNet_small", weights=tmp_path / "plain.pth").architecture == "ResNet_small"
    with pytest.raises(ResnexusError, match=r"plain\.pth"):
        open_subject("Res2Net_small", weights=tmp_path / "plain.pth")
    with pytest.raises(ResnexusError, match=r"weights=ssld has no effect on .*plain\.pth: it is a file"):
        open_subject(tmp_path / "plain.pth", weights="ssld")
    with pytest.raises(ResnexusError, match="unknown tag of SE_ResNet18_vd 'ssl': accepted are imagenet"):
        open_subject("SE_ResNet18_vd", weights="ssl")


def test_a_module_is_no_name_and_is_not_printed_whole(smallest):
    with pytest.raises(ResnexusError) as error:
        open_subject(smallest)
    assert str(error.value) == "Network is no network's name: expected one, or a file of weights"
