import pytest
import torch

from resnexus import ResnexusError, create_model
from resnexus.architectures.siblings import SIBLINGS
from resnexus.series.imagenet import imagenet_classes
from resnexus.subject import open_subject
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256, write_checkpoint
from tests.assessment.conftest import CLASSES, PREPROCESS


def test_a_file_with_its_record(weights, network):
    found = open_subject(weights)
    assert (found.architecture, found.classes, found.preprocess) == ("smallest", CLASSES, PREPROCESS)
    assert found.published is None
    assert found.weights_sha256 == sha256(weights)
    assert not found.network.training
    assert all(torch.equal(a, b) for a, b in zip(found.network.parameters(), network.parameters(), strict=True))
    assert open_subject(str(weights)).name == str(weights)


def test_a_file_without_a_record(tmp_path):
    row = SIBLINGS["ResNet_small"]
    path = tmp_path / "plain.pth"
    torch.save(create_model(row, num_classes=3).state_dict(), path)
    found = open_subject(path)
    assert (found.architecture, found.classes, found.preprocess) == ("ResNet_small", None, None)
    torch.save(create_model(row).state_dict(), path)
    assert open_subject(path).classes == imagenet_classes()


@pytest.mark.parametrize(
    ("model", "architecture", "message"),
    [
        ("Res2Net50_vd", None, "unknown architecture 'Res2Net50_vd': did you mean 'Res2Net50_vd_26w_4s'"),
        ("ResNet50_vd", None, "ResNet50_vd is a baseline without published weights"),
        ("SE_ResNet18_vd", "SE_ResNet18_vd", "architecture='SE_ResNet18_vd' has no effect on 'SE_ResNet18_vd'"),
        ("nowhere.safetensors", None, r"cannot read nowhere\.safetensors: No such file"),
        ("folder/file.txt", None, "unknown kind of file 'file.txt'"),
    ],
)
def test_networks_that_there_are_not(model, architecture, message):
    with pytest.raises(ResnexusError, match=message):
        open_subject(model, architecture)


def test_a_network_without_classes(network, tmp_path):
    headless = create_model(network.architecture, num_classes=0)
    write_checkpoint(
        headless.state_dict(), tmp_path / "w.safetensors", CheckpointRecord(architecture=network.architecture)
    )
    with pytest.raises(ResnexusError, match=r"w\.safetensors: the network has no last layer"):
        open_subject(tmp_path / "w.safetensors")
