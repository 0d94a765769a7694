"""The libraries that take timm's names, with ours: maps equal bit for bit.

Slow and optional: `pip install 'resnexus[dense-peers]'`, then
`pytest -m slow tests/test_dense_peers.py`.
"""

import pickle

import pytest
import torch

from resnexus import create_model
from resnexus.parity.golden import golden_weights
from resnexus.weights import to_paddle

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the peers' own warnings

NAMES = ["Res2Net50_vd_26w_4s", "ResNeXt50_32x4d", "SE_ResNet18_vd"]
DECODERS = ["Unet", "UnetPlusPlus", "FPN", "PSPNet", "UPerNet", "MAnet", "Linknet", "PAN", "DeepLabV3", "DeepLabV3Plus"]


@pytest.fixture(autouse=True)
def _registered():
    pytest.importorskip("timm", reason="timm is optional: pip install 'resnexus[timm]'")
    import resnexus.timm  # noqa: F401


def ours_of(backbone, name, **options):
    """Our feature network with the weights of a peer's flat list."""
    network = create_model(name, features_only=True, **options).eval()
    state = {}
    for key, value in backbone.state_dict().items():
        part, _, rest = key.partition(".")
        state[f"stages.{part.removeprefix('stage')}.{rest}" if part.startswith("stage") else key] = value
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decoder", DECODERS)
@torch.inference_mode()
def test_segmentation_models(name, decoder):
    smp = pytest.importorskip("segmentation_models_pytorch")
    x = torch.randn(1, 4, 128, 128)
    model = getattr(smp, decoder)(encoder_name=f"tu-{name}", encoder_weights=None, classes=3, in_channels=4).eval()
    assert model(x).shape == (1, 3, 128, 128)
    encoder = model.encoder
    _, *maps = encoder(x)
    options = {"out_indices": tuple(range(len(maps))), "output_stride": encoder.output_stride, "in_chans": 4}
    for found, wanted in zip(maps, ours_of(encoder.model, name, **options)(x), strict=True):
        assert torch.equal(found, wanted)
    assert encoder.output_stride == {"PSPNet": 8, "DeepLabV3": 8, "DeepLabV3Plus": 16, "PAN": 16}.get(decoder, 32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options", [{"out_indices": (1, 2, 3, 4)}, {"out_indices": (2, 4), "output_stride": 16}, {"out_indices": (3,)}]
)
@torch.inference_mode()
def test_transformers_backbone(name, options):
    transformers = pytest.importorskip("transformers")
    backbone = transformers.TimmBackbone(transformers.TimmBackboneConfig(backbone=name, **options)).eval()
    x = torch.randn(1, 3, 97, 128)
    output = backbone(x, output_hidden_states=True)
    everything = ours_of(
        backbone._backbone,
        name,
        out_indices=range(max(options["out_indices"]) + 1),
        output_stride=options.get("output_stride"),
    )
    expected = everything(x)
    assert backbone.channels == [expected[index].shape[1] for index in options["out_indices"]]
    for maps in (output.feature_maps, backbone(x).feature_maps):
        for found, index in zip(maps, options["out_indices"], strict=True):
            assert torch.equal(found, expected[index])
    if max(options["out_indices"]) == 4:
        assert all(torch.equal(found, wanted) for found, wanted in zip(output.hidden_states, expected, strict=True))


@torch.inference_mode()
def test_trained_weights_arrive_whole(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    smp = pytest.importorskip("segmentation_models_pytorch")
    name = "SE_ResNet18_vd"
    shapes = {entry: array.shape for entry, array in to_paddle(name, create_model(name).state_dict()).items()}
    (tmp_path / "dygraph").mkdir()
    (tmp_path / "dygraph" / f"{name}_pretrained.pdparams").write_bytes(pickle.dumps(golden_weights(shapes), 4))
    monkeypatch.setenv("RESNEXUS_MIRROR", tmp_path.as_uri())
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))
    x = torch.randn(1, 3, 64, 64)
    expected = create_model(name, True, features_only=True).eval()(x)
    backbone = transformers.TimmBackbone.from_pretrained(f"{name}.imagenet", out_indices=(0, 1, 2, 3, 4)).eval()
    encoder = smp.Unet(f"tu-{name}", encoder_weights="imagenet", classes=2).encoder.eval()
    for maps in (backbone(x).feature_maps, encoder(x)[1:]):
        assert all(torch.equal(found, wanted) for found, wanted in zip(maps, expected, strict=True))


@torch.inference_mode()
def test_transformers_rt_detr():
    transformers = pytest.importorskip("transformers")
    backbone = transformers.TimmBackboneConfig(backbone="ResNet50_vd", out_indices=(2, 3, 4))
    narrow = {"d_model": 32, "encoder_hidden_dim": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_in_channels": [32, 32, 32]}
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_in_channels=[512, 1024, 2048],
        decoder_layers=1,
        num_queries=10,
        **narrow,
        **heads,
    )
    detector = transformers.RTDetrForObjectDetection(config).eval()
    assert detector(torch.randn(1, 3, 128, 128)).pred_boxes.shape == (1, 10, 4)


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_a_user_of_transformers_auto_backbone(name):
    """UperNet builds its backbone through AutoBackbone, whatever the library it comes from."""
    transformers = pytest.importorskip("transformers")
    maps = (1, 2, 3, 4)
    backbone = transformers.TimmBackboneConfig(backbone=name, out_indices=maps)
    auto = transformers.AutoBackbone.from_config(backbone).eval()
    x = torch.randn(1, 3, 97, 128)
    expected = ours_of(auto._backbone, name, out_indices=maps)(x)
    assert all(torch.equal(found, wanted) for found, wanted in zip(auto(x).feature_maps, expected, strict=True))
    narrow = {"hidden_size": 16, "auxiliary_channels": 16, "pool_scales": [1, 2], "num_labels": 5}
    config = transformers.UperNetConfig(backbone_config=backbone, auxiliary_in_channels=expected[2].shape[1], **narrow)
    model = transformers.UperNetForSemanticSegmentation(config).eval()
    assert type(model.backbone) is type(auto)
    model.backbone.load_state_dict(auto.state_dict())
    assert model(x).logits.shape == (1, 5, 97, 128)
    found = model.backbone(x).feature_maps
    assert all(torch.equal(part, wanted) for part, wanted in zip(found, expected, strict=True))


@torch.inference_mode()
def test_a_getter_over_children_as_in_the_authors_rt_detr():
    """Its TimmModel wants names out of `feature_info` that are children, and runs them in order."""
    import timm

    model = timm.create_model("ResNet50_vd", features_only=True).eval()
    names = ["stage1", "stage2", "stage3"]
    assert set(names) <= set(model.feature_info.module_name()) <= {name for name, _ in model.named_children()}
    positions = [model.feature_info.module_name().index(name) for name in names]
    assert [model.feature_info.reduction()[position] for position in positions] == [8, 16, 32]
    x = torch.randn(1, 3, 64, 64)
    expected, found = model(x), []
    for name, child in model.named_children():
        x = child(x)
        found += [x] if name in names else []
    assert all(torch.equal(a, b) for a, b in zip(found, expected[2:], strict=True))
