"""The proof: the golden logits of the original implementation, and that a wrong network would be noticed."""

import gzip
import json
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import torch

from resnexus import ResnexusError, architecture, complexity, create_model
from resnexus.architectures.catalog import SERIES
from resnexus.architectures.network import Network
from resnexus.parity.golden import IMAGE_SIZES, golden, golden_images, golden_network, golden_weights
from resnexus.parity.traps import TRAPS
from resnexus.parity.verify import verify
from resnexus.weights import from_paddle, to_paddle
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import stored_shapes
from tests.sampled import sampled

FLOAT32, FLOAT64 = (torch.float32, 1e-4), (torch.float64, 1e-9)
EVERY_WAY = tuple((way, size) for way in (FLOAT32, FLOAT64) for size in IMAGE_SIZES)
# At the small size every network shows what it computes; the large one costs several times that, and so does float64
# in deep networks: both are the slow tests'.
DEEP = [row for row in SERIES if complexity(row).macs > 6e9]
# Every block, with and without a gate, both stems and both shortcuts.
KEPT = ("SE_ResNet18_vd", "ResNeXt50_vd_32x4d", "SE_ResNeXt50_32x4d", "Res2Net50_vd_26w_4s", "Res2Net50_14w_8s")


@pytest.mark.parametrize("row", sampled(SERIES, KEPT, attrgetter("name")), ids=attrgetter("name"))
def test_golden_logits_and_a_round_trip_bit_for_bit(row):
    # Drawing the weights takes long, so it is done once for all.
    arrays = golden_weights(stored_shapes(PADDLE, row))
    state = from_paddle(row.name, arrays)
    back = to_paddle(row.name, state)
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array), name
    with torch.device("meta"):
        network = Network(row)
    network.load_state_dict(state, assign=True)
    network.eval()
    dtype, tolerance = FLOAT32 if row in DEEP else FLOAT64
    (check,) = verify(row.name, network.to(dtype), dtype=dtype, image_sizes=[(97, 131)])
    assert check.image_size == (97, 131)
    assert check.agreement.max_rel <= tolerance


@pytest.mark.slow
@pytest.mark.parametrize("row", SERIES, ids=lambda row: row.name)
def test_golden_logits_in_every_way(row):
    network = golden_network(row)
    for (dtype, tolerance), size in EVERY_WAY:
        (check,) = verify(row, network.to(dtype), dtype=dtype, image_sizes=[size])
        assert check.agreement.max_rel <= tolerance


def test_the_golden_network_has_the_golden_weights():
    row = architecture("SE_ResNet18_vd")
    expected = from_paddle(row, golden_weights(stored_shapes(PADDLE, row)))
    for dtype in (torch.float32, torch.float64):
        network = golden_network(row, dtype)
        assert not network.training
        for name, tensor in network.state_dict().items():
            assert tensor.dtype == (dtype if tensor.is_floating_point() else torch.int64)
            assert torch.equal(tensor, expected[name].to(tensor.dtype)), name


@pytest.mark.parametrize("name", sampled(["Res2Net50_vd_26w_4s", "SE_ResNet18_vd"], ["SE_ResNet18_vd"]))
def test_golden_stages(name):
    network = golden_network(architecture(name), torch.float64)
    for size in IMAGE_SIZES:
        with torch.inference_mode():
            features = network.stage_features(torch.from_numpy(golden_images(size)).double())
        for feature, expected in zip(features.values(), golden(name, size).stages, strict=True):
            assert list(feature.shape) == list(expected[:4])
            assert np.allclose([feature.mean(), feature.std(correction=0)], expected[4:], rtol=1e-9)


def test_the_authors_variant_is_another_function():
    network = golden_network(replace(architecture("Res2Net50_26w_4s"), cascade="authors"))
    (check,) = verify("Res2Net50_26w_4s", network, dtype=torch.float32, image_sizes=[(97, 131)])
    assert check.agreement.max_rel > 100 * check.tolerance
    assert check.trap is TRAPS[0]


def test_missing_and_left_over_entries_are_listed_together():
    row = architecture("SE_ResNet18_vd")
    arrays = golden_weights(stored_shapes(PADDLE, row))
    arrays["out.weights"] = arrays.pop("out.weight")
    with pytest.raises(ResnexusError, match=r"1 missing \(-\) and 1 left over \(\+\)\n- out.weight\n\+ out.weights"):
        from_paddle(row, arrays)


def test_a_wrong_shape_is_named():
    row = architecture("SE_ResNet18_vd")
    arrays = golden_weights(stored_shapes(PADDLE, row))
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
        assert {name: tuple(shape) for name, shape in states[row.name]} == stored_shapes(PADDLE, row), row.name
