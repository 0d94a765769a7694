import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from resnexus import Architecture, ResnexusError, create_model
from resnexus.architectures.blocks import BatchNorm
from resnexus.detection import backbone_with_fpn, freeze, freeze_batch_norms
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

ROW = Architecture(
    name="tiny", block="res2", width=3, scale=4, depths=(1, 1, 1, 1), out_width=16, stem_width=8, stem="deep"
)


@pytest.fixture
def file(tmp_path):
    write_checkpoint(create_model(ROW, num_classes=2).state_dict(), tmp_path / "tiny.safetensors", CheckpointRecord())
    return tmp_path / "tiny.safetensors"


def trained(module):
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("stem", ["conv7", "deep", "small"])
@pytest.mark.parametrize("maps", [(1, 2, 3, 4), (0, -1), (2, 3)])
def test_the_pyramid_stands_on_our_maps(stem, maps):
    torch.manual_seed(1)
    backbone = backbone_with_fpn(ROW, maps=maps, out_channels=12, in_chans=4, stem=stem).eval()
    torch.manual_seed(1)
    network = create_model(ROW, features_only=True, out_indices=maps, in_chans=4, stem=stem).eval()
    assert isinstance(backbone, BackboneWithFPN)
    x = torch.randn(1, 4, 65, 97)
    features = network(x)
    for found, wanted in zip(backbone.body(x).values(), features, strict=True):
        assert torch.equal(found, wanted)
    pyramid = backbone(x)
    assert list(pyramid) == [*map(str, range(len(maps))), "pool"]
    assert backbone.out_channels == 12
    for level, feature in zip(pyramid.values(), features, strict=False):
        assert level.shape == (1, 12, *feature.shape[2:])


def test_a_detector_trains():
    detector = FasterRCNN(backbone_with_fpn(ROW, out_channels=8), 2, min_size=64, max_size=64)
    images = [torch.rand(3, 64, 64), torch.rand(3, 50, 64)]
    targets = [{"boxes": torch.tensor([[4.0, 4.0, 40.0, 40.0]]), "labels": torch.tensor([1])}] * 2
    losses = detector.train()(images, targets)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert detector.backbone.body.stem[0].conv.weight.grad.abs().max() > 0


def test_with_trained_weights_stem_first_stage_and_norms_are_frozen(file):
    backbone = backbone_with_fpn(ROW, file).train()
    names = trained(backbone.body)
    assert names == {name for name in names if name.startswith(("stage1", "stage2", "stage3")) and ".norm." not in name}
    assert names
    before = {name: value.clone() for name, value in backbone.body.state_dict().items()}
    backbone(torch.randn(2, 3, 64, 64))["0"].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in backbone.body.state_dict().items())
    free = backbone_with_fpn(ROW, file, frozen=0, freeze_norms=False)
    assert trained(free.body) == {name for name, _ in free.body.named_parameters() if not name.startswith("stem")}


def test_fresh_weights_are_all_trained():
    backbone = backbone_with_fpn(ROW)
    assert len(trained(backbone.body)) == len(list(backbone.body.parameters()))
    assert not any(layer.frozen for layer in backbone.modules() if isinstance(layer, BatchNorm))


@pytest.mark.parametrize(("last", "stages"), [(0, 0), (2, 2), (-1, 4)])
def test_frozen_up_to_a_map(last, stages):
    network = create_model(ROW)
    freeze(network, last)
    parts = [network.stem, *network.stages, network.head]
    assert [bool(trained(part)) for part in parts] == [False] * (stages + 1) + [True] * (5 - stages)
    frozen = [all(layer.frozen for layer in part.modules() if isinstance(layer, BatchNorm)) for part in parts[:-1]]
    assert frozen == [not trained(part) for part in parts[:-1]]


def test_frozen_norms_leave_convolutions_to_training():
    network = create_model(ROW)
    freeze_batch_norms(network)
    convolutions = {name for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    assert {name.rpartition(".")[0] for name in trained(network)} == convolutions


def test_bad_arguments():
    with pytest.raises(ResnexusError, match=r"maps=\(2, 1\): a pyramid is built on maps in ascending order"):
        backbone_with_fpn(ROW, maps=(2, 1))
    with pytest.raises(ResnexusError, match="expected maps from 0"):
        freeze(create_model(ROW), 5)
