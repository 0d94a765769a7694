"""The proof: the golden logits of the original implementation, and that a wrong network would be noticed."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resnexus import ResnexusError, architecture, create_model
from resnexus.architectures.blocks import Res2Branch
from resnexus.architectures.catalog import SERIES
from resnexus.evaluation.agreement import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE, agreement
from resnexus.evaluation.golden import IMAGE_SIZES, golden, golden_images, golden_weights
from resnexus.weights import from_paddle, to_paddle
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import names


def paddle_shapes(row):
    """What the original's state holds, name by name."""
    with torch.device("meta"):
        state = create_model(row).state_dict()
    shapes = {}
    for ours, (theirs, storage) in names(PADDLE, row).items():
        shape = tuple(state[ours].shape)
        shapes[theirs] = shape[::-1] if storage == "transposed" else shape
    return shapes


def load(row, state, dtype):
    with torch.device("meta"):
        network = create_model(row)
    cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(cast, assign=True)
    return network.eval()


@torch.inference_mode()
def worst_difference(network, name, dtype, image_sizes=IMAGE_SIZES):
    return max(
        agreement(
            torch.from_numpy(golden(name, size).logits), network(torch.from_numpy(golden_images(size)).to(dtype))
        ).max_rel
        for size in image_sizes
    )


@pytest.mark.parametrize("row", SERIES, ids=lambda row: row.name)
def test_golden_logits(row):
    arrays = golden_weights(paddle_shapes(row))
    state = from_paddle(row.name, arrays)
    assert worst_difference(load(row, state, torch.float64), row.name, torch.float64) <= FLOAT64_TOLERANCE
    assert worst_difference(load(row, state, torch.float32), row.name, torch.float32) <= FLOAT32_TOLERANCE
    back = to_paddle(row.name, state)
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array), name


@pytest.mark.parametrize("name", ["Res2Net50_vd_26w_4s", "SE_ResNet18_vd"])
def test_golden_stages(name):
    network = load(
        architecture(name), from_paddle(name, golden_weights(paddle_shapes(architecture(name)))), torch.float64
    )
    for size in IMAGE_SIZES:
        with torch.inference_mode():
            features = network.stage_features(torch.from_numpy(golden_images(size)).double())
        for feature, expected in zip(features.values(), golden(name, size).stages, strict=True):
            assert list(feature.shape) == [2, *expected[1:4]] or list(feature.shape) == list(expected[:4])
            assert np.allclose([feature.mean(), feature.std(unbiased=False)], expected[4:], rtol=1e-9)


def _chain_like_timm(network):
    first = network.stages[0][0].branch
    first.chained, first.pool = False, nn.AvgPool2d(3, 1, 1)


def _count_padding(network):
    for layer in network.modules():
        if isinstance(layer, Res2Branch) and not layer.chained:
            layer.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=True)


def _untransposed_linear(network):
    weight = network.stages[0][0].gate.squeeze.weight
    weight.data = weight.data.reshape(weight.shape[::-1]).T.contiguous()


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("Res2Net50_26w_4s", _chain_like_timm),
        ("Res2Net50_26w_4s", _count_padding),
        ("SE_ResNet18_vd", _untransposed_linear),
    ],
)
def test_a_mistake_fails_by_far(name, mistake):
    row = architecture(name)
    network = load(row, from_paddle(name, golden_weights(paddle_shapes(row))), torch.float64)
    mistake(network)
    for size in IMAGE_SIZES:
        assert worst_difference(network, name, torch.float64, [size]) > 100 * FLOAT32_TOLERANCE


def test_the_authors_variant_is_another_function():
    row = replace(architecture("Res2Net50_26w_4s"), cascade="authors")
    network = load(row, from_paddle(row, golden_weights(paddle_shapes(row))), torch.float64)
    assert worst_difference(network, row.name, torch.float64) > 100 * FLOAT32_TOLERANCE


def test_missing_and_left_over_entries_are_listed_together():
    row = architecture("SE_ResNet18_vd")
    arrays = golden_weights(paddle_shapes(row))
    arrays["out.weights"] = arrays.pop("out.weight")
    with pytest.raises(ResnexusError, match=r"1 missing \(-\) and 1 left over \(\+\)\n- out.weight\n\+ out.weights"):
        from_paddle(row, arrays)


def test_a_wrong_shape_is_named():
    row = architecture("SE_ResNet18_vd")
    arrays = golden_weights(paddle_shapes(row))
    arrays["bb_0_0.scale.squeeze.weight"] = arrays["bb_0_0.scale.squeeze.weight"].T
    with pytest.raises(ResnexusError, match=r"- stages.0.0.gate.squeeze.weight \(4, 64\)\n\+ .* \(64, 4\)"):
        from_paddle(row, arrays)


def test_another_head_and_other_image_channels_are_the_arrays_own():
    row = architecture("SE_ResNet18_vd")
    network = create_model(row, num_classes=7, in_chans=1)
    state = from_paddle(row, to_paddle(row, network.state_dict()))
    assert set(state) == set(network.state_dict())
    network.load_state_dict(state)


def test_golden_data_is_asked_for_correctly():
    with pytest.raises(ResnexusError, match="no golden logits for 'ResNet50_vd'"):
        golden("ResNet50_vd")
    with pytest.raises(ResnexusError, match=r"image_size=\(32, 32\)"):
        golden("SE_ResNet18_vd", (32, 32))


def test_names_and_shapes_are_the_originals():
    path = Path(__file__).parents[1] / "golden" / "states.json.gz"
    states = json.loads(gzip.decompress(path.read_bytes()))
    assert set(states) == {row.name for row in SERIES}
    for row in SERIES:
        assert {name: tuple(shape) for name, shape in states[row.name]} == paddle_shapes(row), row.name
