import json
from importlib.resources import files

import pytest
import torch
from torch import nn

from resnexus import ResnexusError, architecture, complexity, create_model, list_models
from resnexus.architectures.siblings import SIBLINGS
from tests.sampled import sampled

MEASURED = {
    entry["architecture"]: entry["measured"]
    for entry in json.loads((files("resnexus.series") / "series.json").read_text())["checkpoints"]
}


def count_by_running(network: nn.Module, height: int, width: int, in_chans: int = 3) -> dict[str, int]:
    """Count what a forward pass on the meta device does, layer by layer; it passes by what is not counted."""
    found = {"conv_macs": 0, "linear_macs": 0, "activations": 0}

    def conv(layer, _inputs, output):
        found["conv_macs"] += output.numel() * layer.weight[0].numel()
        found["activations"] += output.numel()

    def linear(layer, _inputs, output):
        assert output.shape == (1, layer.out_features)
        found["linear_macs"] += layer.weight.numel()
        found["activations"] += output.numel()

    hooks = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(conv))
        elif isinstance(layer, nn.Linear):
            hooks.append(layer.register_forward_hook(linear))
        elif isinstance(layer, nn.BatchNorm2d):
            layer.forward = lambda x: x  # most of the time, on this device
    network.eval()(torch.empty(1, in_chans, height, width, device="meta"))
    for hook in hooks:
        hook.remove()
    found["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    found["buffers"] = sum(
        buffer.numel() for name, buffer in network.named_buffers() if not name.endswith("num_batches_tracked")
    )
    return found


def as_dict(cost):
    return {
        "conv_macs": cost.conv_macs,
        "linear_macs": cost.linear_macs,
        "activations": cost.activations,
        "parameters": cost.parameters,
        "buffers": cost.buffers,
    }


@pytest.mark.parametrize("name", MEASURED)
def test_equals_what_the_original_counts(name):
    cost, measured = complexity(name), MEASURED[name]
    assert cost.parameters == measured["trainable_params"]
    assert cost.buffers == measured["bn_running_stats"]
    assert cost.conv_macs == measured["conv_macs"]
    assert cost.linear_macs == measured["linear_macs"]


# Every block, with and without a gate, both stems and both shortcuts.
KEPT = (
    "ResNet50_vd",
    "ResNeXt50_32x4d",
    "ResNeXt50_vd_64x4d",
    "Res2Net50_26w_4s",
    "Res2Net50_vd_26w_4s",
    "SE_ResNet18_vd",
    "SE_ResNeXt50_32x4d",
)


@pytest.mark.parametrize("name", sampled(list_models(), KEPT))
def test_every_network_of_the_series_builds_and_costs_what_a_hooked_forward_pass_does(name):
    with torch.device("meta"):
        network = create_model(name)
    assert network.architecture is architecture(name)
    assert network.head.weight.shape == (1000, network.num_features)
    for size in ((224, 224), (97, 131)):
        assert as_dict(complexity(name, size)) == count_by_running(network, *size)


@pytest.mark.parametrize(
    "options",
    [
        {"stem": "small"},
        {"num_classes": 0},
        {"num_classes": 7, "in_chans": 5},
        {"depths": (1, 2), "se_reduction": 8},
        {"groups": 2, "cascade": "authors"},
        {"features_only": True, "out_indices": (1, 3)},
        {"features_only": True, "out_indices": (0,)},
        {"output_stride": 8},
        {"features_only": True, "output_stride": 16},
    ],
)
def test_a_network_is_counted_as_it_is(options):
    with torch.device("meta"):
        network = create_model("Res2Net50_26w_4s", **options)
    expected = count_by_running(network, 33, 50, options.get("in_chans", 3))
    assert as_dict(complexity(network, (33, 50))) == expected


def test_published_convention():
    cost = complexity("ResNeXt50_32x4d")
    assert f"{cost.mparams:.2f} {cost.gflops:.2f}" == "25.03 8.46"
    assert cost.macs == cost.conv_macs + cost.linear_macs
    assert cost.gflops == 2 * cost.macs / 1e9


def test_activations_of_resnext50_as_published_by_timm():
    # 14.4 million outputs of convolutions, and 1,000 logits
    assert round(complexity("ResNeXt50_32x4d").activations / 1e6, 1) == 14.4


def test_twice_the_side_is_four_times_the_convolutions():
    small, large = complexity("SE_ResNet50_vd", 128), complexity("SE_ResNet50_vd", 256)
    assert large.conv_macs == 4 * small.conv_macs
    assert large.linear_macs == small.linear_macs


def test_an_output_stride_is_counted():
    sizes = {stride: complexity("ResNeXt50_32x4d", output_stride=stride) for stride in (8, 16, 32)}
    assert sizes[32] == complexity("ResNeXt50_32x4d")
    assert sizes[8].macs > 2 * sizes[16].macs > 2 * sizes[32].macs
    assert sizes[8].parameters == sizes[32].parameters


def test_siblings_agree_within_five_per_cent():
    macs = {name: complexity(row, 8, num_classes=10, in_chans=1).macs for name, row in SIBLINGS.items()}
    assert max(macs.values()) <= 1.05 * min(macs.values())


def test_bad_image_size():
    with pytest.raises(ResnexusError, match="image_size=0: expected at least 1 pixel"):
        complexity("SE_ResNet18_vd", 0)


@pytest.mark.parametrize(("maps", "stride"), [((0,), None), ((2, 1), None), ((1, 2, 3, 4), 8), ((-1,), 16)])
def test_the_maps_of_a_name_cost_what_their_network_costs(maps, stride):
    network = create_model("SE_ResNet18_vd", features_only=True, out_indices=maps, output_stride=stride)
    expected = complexity(network, (97, 64))
    assert complexity("SE_ResNet18_vd", (97, 64), out_indices=maps, output_stride=stride) == expected
    assert expected.parameters == sum(parameter.numel() for parameter in network.parameters())


def test_a_map_that_is_none_costs_an_error():
    with pytest.raises(ResnexusError, match="expected maps from 0, the stem, to 4"):
        complexity("SE_ResNet18_vd", out_indices=(5,))
