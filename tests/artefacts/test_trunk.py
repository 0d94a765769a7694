"""Feature maps as an artefact: what is left of the network, what comes out, and what is refused."""

from copy import deepcopy

import pytest
import torch

from resnexus import Architecture, ResnexusError, create_model, export, open_artefact
from resnexus.artefacts.comparing import compared
from resnexus.artefacts.formats.registry import FORMATS
from resnexus.artefacts.trunk import trunk
from resnexus.prediction.exported import open_exported
from resnexus.prediction.settings import PredictionSettings
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from tests.artefacts.conftest import CLASSES, PREPROCESS

ROW = Architecture(
    name="pair",
    block="bottleneck",
    depths=(1, 1),
    width=4,
    out_width=32,
    se_reduction=4,
    stem_width=8,
    shortcut="pool",
)


@pytest.fixture(scope="module")
def pair(random_network):
    """With two stages, of strides 4 and 8, which know of classes."""
    found = random_network(ROW, dtype=torch.float32)
    found.record = CheckpointRecord(architecture=ROW, classes=CLASSES, preprocess=PREPROCESS, multi_label=True)
    return found


def features_of(network, maps, output_stride=None):
    found = create_model(ROW, features_only=True, out_indices=maps, output_stride=output_stride).eval()
    found.load_state_dict({name: network.state_dict()[name] for name in found.state_dict()})
    found.record = network.record
    return found


def test_a_trunk_has_the_weights_of_its_network_and_no_more(pair):
    found = trunk(pair, (1, 0))
    assert len(found.stages) == 1
    assert found.num_classes == 0
    assert not found.training
    own = dict(pair.named_parameters())
    assert all(value.data_ptr() == own[name].data_ptr() for name, value in found.named_parameters())
    assert not any(name.startswith(("stages.1", "head")) for name in found.state_dict())
    assert (found.output_stride, trunk(pair, (2,), 4).output_stride) == (8, 4)


@pytest.mark.thorough
@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
@torch.inference_mode()
def test_maps_are_outputs_by_name(pair, tmp_path, format):
    for package in {"onnx": ("onnxruntime", "onnxscript"), "openvino": ("openvino",), "pt2": ()}[format]:
        pytest.importorskip(package)
    path = tmp_path / {"onnx": "a.onnx", "openvino": "a.xml", "pt2": "a.pt2"}[format]
    network = features_of(pair, (2, 0), output_stride=4)
    record = export(network, path, format=format, sizes="multiples-of-32")
    artefact = open_artefact(path, trust_code=True)
    assert artefact.record == record
    assert (record.interface.maps, record.output_stride, record.classes) == ((2, 0), 4, None)
    assert [part.index for part in record.agreement.maps] == [2, 0]
    assert 0 < record.agreement.max_rel < 1e-5
    assert record.pictures == 16
    images = torch.randn(2, 3, 64, 96)
    found = artefact.outputs(images.numpy())
    assert list(found) == ["map2", "map0"]
    for output, wanted in zip(found.values(), network(images), strict=True):
        assert output.shape == tuple(wanted.shape)
        torch.testing.assert_close(torch.from_numpy(output), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ResnexusError, match=r"gives feature maps and no scores: call `outputs`"):
        artefact(images.numpy())
    with pytest.raises(ResnexusError, match=r"gives feature maps and no scores: `resnexus\.open_artefact` runs it"):
        open_exported(path, PredictionSettings(trust_code=True))


@torch.inference_mode()
def test_a_file_of_weights_gives_maps_where_they_are_asked_for(pair, tmp_path):
    write_checkpoint(pair.state_dict(), tmp_path / "own.safetensors", pair.record)
    record = export(tmp_path / "own.safetensors", tmp_path / "a.pt2", format="pt2", out_indices=(-1,), output_stride=4)
    assert (record.interface.maps, record.output_stride, record.weights) == ((2,), 4, "own.safetensors")
    assert (record.classes, record.interface.multi_label) == (None, False)
    images = torch.randn(2, 3, 32, 32)
    (found,) = open_artefact(tmp_path / "a.pt2", trust_code=True).outputs(images.numpy()).values()
    (wanted,) = features_of(pair, (2,), output_stride=4)(images)
    assert wanted.shape[2:] == (8, 8)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
@torch.inference_mode()
def test_every_map_is_judged_by_its_own_largest_value(pair, tmp_path):
    features = features_of(pair, (1, 2))
    export(features, tmp_path / "a.pt2", format="pt2")
    artefact = open_artefact(tmp_path / "a.pt2", trust_code=True)
    network = deepcopy(trunk(pair, (1, 2)))
    torch.nn.init.constant_(network.stages[1][0].branch.conv2.norm.bias, 3.0)
    first, second = compared(network, artefact).agreement.maps
    assert (first.index, second.index) == (1, 2)
    assert first.max_rel < 1e-5
    assert second.max_rel > 1e-2


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"onnx", "openvino", "pt2"}))
def test_formats_without_maps_say_so(pair, tmp_path, format):
    out = tmp_path / {"aoti": "a.pt2", "executorch": "a.pte"}.get(format, "a")
    with pytest.raises(ResnexusError) as error:
        export(features_of(pair, (1,)), out, format=format)
    assert str(error.value) == f"the format {format} gives no feature maps: expected onnx, openvino or pt2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_indices": (1,), "heatmap": True}, "heatmap=True has no effect with feature maps"),
        ({"out_indices": (1,), "multi_label": False}, "multi_label=False has no effect with feature maps"),
        ({"out_indices": (3,)}, r"out_indices=\(3,\): expected maps from 0, the stem, to 2, the last stage"),
        ({"out_indices": (2,), "output_stride": 5}, "output_stride=5: expected one of 4, 8"),
        ({"output_stride": 8}, "output_stride=8 has no effect without feature maps: give out_indices"),
    ],
)
def test_what_does_not_go_together_with_maps(pair, tmp_path, options, message):
    with pytest.raises(ResnexusError, match=message):
        export(pair, tmp_path / "a.pt2", format="pt2", **options)
    assert not list(tmp_path.iterdir())


def test_a_network_of_maps_is_not_asked_for_others(pair, tmp_path):
    for options in ({"out_indices": (2,)}, {"output_stride": 8}):
        with pytest.raises(ResnexusError, match="has no effect on a network that returns feature maps already"):
            export(features_of(pair, (1,)), tmp_path / "a.pt2", format="pt2", **options)
