from copy import deepcopy

import pytest
import torch
from kinds import TINY, every_kind

from resnexus import ResnexusError, create_model


def build(row, **options):
    torch.manual_seed(0)
    return create_model(row, **options).eval()


def matching(part, network):
    part.load_state_dict({name: value for name, value in network.state_dict().items() if name in part.state_dict()})
    return part.eval()


def test_maps_are_numbered_as_timm_numbers_them():
    with torch.device("meta"):
        info = create_model("Res2Net50_vd_26w_4s", features_only=True, depths=(1, 1, 1, 1)).feature_info
        plain = create_model("Res2Net50_26w_4s", depths=(1, 1, 1, 1)).feature_info
    assert info.channels() == [64, 256, 512, 1024, 2048]
    assert info.reduction() == [2, 4, 8, 16, 32]
    assert info.module_name() == ["stem.2", "stages.0", "stages.1", "stages.2", "stages.3"]
    assert [feature.name for feature in info] == ["stem", "stage0", "stage1", "stage2", "stage3"]
    assert plain.module_name()[0] == "stem.0"


def test_a_small_stem_has_stride_1():
    assert create_model(TINY["small"]).feature_info.reduction() == [1, 1, 2]


@every_kind
def test_features_only_returns_the_same_maps(row):
    network, x = build(row), torch.randn(1, 3, 37, 50)
    convs = [layer for layer in network.stem if not isinstance(layer, torch.nn.MaxPool2d)]
    expected = [torch.nn.Sequential(*convs)(x), *network.stage_features(x).values()]
    for indices in ((0,), (1,), (0, 1, 2), (-1,), (2, 0)):
        part = matching(create_model(row, features_only=True, out_indices=indices), network)
        assert len(part.stages) == max(part.out_indices)
        for index, feature, info in zip(indices, part(x), part.feature_info, strict=True):
            assert torch.equal(feature, expected[index])
            assert info == network.feature_info[index]
            assert feature.shape[1:] == (info.num_chs, -(-37 // info.reduction), -(-50 // info.reduction))
    assert [len(create_model(row, features_only=True)(x)), *map(len, expected)] == [3, 1, 1, 1]


@pytest.mark.parametrize("indices", [(), (5,), (-6,), (1, 1), (4, -1)])
def test_bad_out_indices(indices):
    with pytest.raises(ResnexusError, match=r"out_indices=.*expected maps from 0, the stem, to 4, the last stage"):
        create_model("SE_ResNet18_vd", features_only=True, out_indices=indices)


@every_kind
def test_intermediates(row):
    network, x = build(row), torch.randn(1, 3, 33, 40)
    maps = matching(create_model(row, features_only=True), network)(x)
    last, everything = network.forward_intermediates(x)
    assert all(torch.equal(found, feature) for found, feature in zip(everything, maps, strict=True))
    assert torch.equal(network.forward_head(last), network(x))
    for indices, numbers in ((2, (1, 2)), ((0,), (0,)), ((2, 0), (2, 0)), ((-2,), (1,))):
        for stop_early in (False, True):
            last, some = network.forward_intermediates(x, indices, norm=True, stop_early=stop_early)
            assert all(torch.equal(found, maps[number]) for found, number in zip(some, numbers, strict=True))
            assert torch.equal(last, maps[max(numbers) if stop_early else 2])
        only = network.forward_intermediates(x, indices, intermediates_only=True)
        assert all(torch.equal(found, feature) for found, feature in zip(only, some, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indices": 0}, "indices=0: as a number, of the last maps; expected 1 to 3"),
        ({"indices": 4}, "indices=4"),
        ({"indices": [3]}, "expected maps from 0"),
        ({"output_fmt": "NHWC"}, "output_fmt='NHWC': feature maps are NCHW only"),
    ],
)
def test_bad_intermediates(arguments, message):
    with pytest.raises(ResnexusError, match=message):
        build(TINY["basic"]).forward_intermediates(torch.zeros(1, 3, 32, 32), **arguments)


@every_kind
def test_gradient_checkpointing_on_features_changes_nothing_but_memory(row):
    plain = build(row, features_only=True, out_indices=(0, 2)).train()
    saving = deepcopy(plain)
    saving.set_grad_checkpointing()
    x = torch.randn(3, 3, 32, 32)
    for network in (plain, saving):
        sum(feature.square().sum() for feature in network(x)).backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-5), name
    for (name, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b), name
