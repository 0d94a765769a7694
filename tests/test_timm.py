"""Every network through timm's registry: what timm checks of its own models, and weights that equal ours."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

timm = pytest.importorskip("timm", reason="timm is optional: pip install 'resnexus[timm]'")

from timm.layers import freeze_batch_norm_2d  # noqa: E402
from timm.models import group_parameters  # noqa: E402

import resnexus.timm  # noqa: E402
from resnexus import ResnexusError, architecture, create_model, list_models  # noqa: E402
from resnexus.architectures.blocks import BatchNorm  # noqa: E402
from resnexus.data.preprocess import Preprocess  # noqa: E402
from resnexus.parity.golden import golden_weights  # noqa: E402
from resnexus.weights import to_paddle  # noqa: E402
from resnexus.weights.hub import save_pretrained  # noqa: E402

NAME = "SE_ResNet18_vd"
SHORT = {"depths": (1, 1, 1, 1), "width": 4, "out_width": 32, "stem_width": 16}
THREE = ["Res2Net50_vd_26w_4s", "ResNeXt50_32x4d", "SE_ResNeXt50_vd_32x4d"]
three_kinds = pytest.mark.parametrize("name", THREE)
every_name = pytest.mark.parametrize(
    ("name", "shape"),
    [pytest.param(name, SHORT, id=f"{name}-short") for name in THREE]
    + [pytest.param(name, {"depths": (1, 1, 1, 1)}, id=name, marks=pytest.mark.slow) for name in list_models()],
)


def build(name, shape=SHORT, **options):
    torch.manual_seed(0)
    return timm.create_model(name, **shape, **options).eval()


def same(found, wanted):
    assert len(found) == len(wanted)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 65, 48, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module", autouse=True)
def _store(tmp_path_factory):
    """A store whose mirror has the golden weights of one network in the place of the published ones."""
    folder = tmp_path_factory.mktemp("mirror")
    shapes = {name: array.shape for name, array in to_paddle(NAME, create_model(NAME).state_dict()).items()}
    (folder / "dygraph").mkdir()
    (folder / "dygraph" / f"{NAME}_pretrained.pdparams").write_bytes(pickle.dumps(golden_weights(shapes), 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNEXUS_MIRROR", folder.as_uri())
        patch.setenv("RESNEXUS_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def test_every_network_is_registered_with_its_published_tags():
    assert set(list_models()) <= set(timm.list_models())
    tagged = [name for name in timm.list_pretrained() if name.partition(".")[0] in list_models()]
    assert len(tagged) == 27
    assert "Res2Net200_vd_26w_4s.ssld" in tagged
    published = timm.get_pretrained_cfg("Res2Net50_vd_26w_4s")
    assert (published.tag, published.license, published.num_classes) == ("imagenet", "apache-2.0", 1000)
    assert (published.crop_pct, published.interpolation, published.pool_size) == (0.875, "bilinear", (7, 7))
    assert (published.first_conv, published.classifier) == ("stem.0.conv", "head")
    assert not timm.is_model_pretrained("ResNet50_vd")


@pytest.mark.parametrize("tag", ["", ".imagenet"])
def test_published_weights_come_through_our_store(tag, images):
    found = timm.create_model(NAME + tag, pretrained=True).eval()
    expected = create_model(NAME, pretrained=True).eval()
    assert torch.equal(found(images), expected(images))
    assert found.pretrained_cfg["tag"] == "imagenet"


def test_published_weights_are_fitted_as_timm_and_we_fit_them():
    network = timm.create_model(NAME, pretrained=True, in_chans=4, num_classes=7).eval()
    expected = create_model(NAME, pretrained=True, in_chans=4, num_classes=0).eval()
    x = torch.randn(1, 4, 65, 48)
    assert network(x).shape == (1, 7)
    assert torch.equal(network.forward_head(network.forward_features(x), pre_logits=True), expected(x))


@pytest.mark.parametrize("feature_cls", ["list", "getter"])
def test_the_one_line_that_a_user_changes(feature_cls):
    options = {"features_only": True, "out_indices": (1, 2, 3, 4), "output_stride": 16, "in_chans": 4}
    network = timm.create_model(f"{NAME}.imagenet", pretrained=True, num_classes=7, feature_cls=feature_cls, **options)
    expected = create_model(NAME, pretrained=True, **options).eval()
    x = torch.randn(1, 4, 65, 48)
    same(network.eval()(x), expected(x))
    assert network.feature_info.channels() == expected.feature_info.channels() == [64, 128, 256, 512]
    assert network.feature_info.reduction() == expected.feature_info.reduction() == [4, 8, 16, 16]
    assert tuple(network.feature_info.out_indices) == (1, 2, 3, 4)


def test_what_is_not_published_is_said():
    with pytest.raises(RuntimeError, match="No pretrained weights exist for ResNet50_vd"):
        timm.create_model("ResNet50_vd", pretrained=True)
    with pytest.raises(RuntimeError, match=r"ssld"):
        timm.create_model(f"{NAME}.ssld", pretrained=True)
    with pytest.raises(
        ResnexusError, match=r"cascade='authors': the weights 'imagenet' are those of the published Res"
    ):
        timm.create_model("Res2Net50_26w_4s", pretrained=True, cascade="authors")


@pytest.mark.parametrize("change", [{}, {"cascade": "authors", "stem": "deep"}])
def test_a_saved_folder_is_the_same_network_in_timm(change, tmp_path, images):
    network = create_model("Res2Net50_26w_4s", num_classes=5, **SHORT, **change).eval()
    preprocess = Preprocess(size=64, resize_short=73)
    save_pretrained(network, tmp_path, preprocess=preprocess)
    source = f"local-dir:{tmp_path}"
    found = timm.create_model(source, pretrained=True).eval()
    assert found.architecture == network.architecture
    assert torch.equal(found(images), network(images))
    assert tuple(found.pretrained_cfg["input_size"]) == (3, 64, 64)
    maps = timm.create_model(source, pretrained=True, features_only=True).eval()(images)
    same(maps, network.forward_intermediates(images, intermediates_only=True))
    other = timm.create_model(source, pretrained=True, num_classes=3, in_chans=1).eval()
    assert other(images[:, :1]).shape == (2, 3)
    file = {"file": str(tmp_path / "model.safetensors"), "num_classes": 5}
    overlaid = timm.create_model(
        "Res2Net50_26w_4s", pretrained=True, pretrained_cfg_overlay=file, **SHORT, **change
    ).eval()
    assert torch.equal(overlaid(images), network(images))


def test_a_network_from_the_hub_is_the_same_in_timm(tmp_path, images, monkeypatch):
    """The hub is a folder: what huggingface_hub has downloaded before, and no network."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--somebody--narrow"
    network = create_model("Res2Net50_26w_4s", num_classes=5, **SHORT).eval()
    save_pretrained(network, repository / "snapshots" / revision, preprocess=Preprocess(size=64, resize_short=73))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    source, options = "hf-hub:somebody/narrow", {"pretrained": True, "cache_dir": tmp_path}
    found = timm.create_model(source, **options).eval()
    assert found.architecture == network.architecture
    assert torch.equal(found(images), network(images))
    assert found.pretrained_cfg["hf_hub_id"] == "somebody/narrow"
    assert tuple(found.pretrained_cfg["input_size"]) == (3, 64, 64)
    maps = timm.create_model(source, features_only=True, out_indices=(1, 4), **options).eval()(images)
    same(maps, network.forward_intermediates(images, (1, 4), intermediates_only=True))
    with pytest.raises(huggingface_hub.errors.LocalEntryNotFoundError, match="cannot find the requested files"):
        timm.create_model("hf-hub:somebody/wide", **options)


def test_weights_of_another_network_are_refused(tmp_path):
    save_pretrained(create_model("ResNeXt50_32x4d", **SHORT), tmp_path, preprocess=Preprocess())
    file = {"file": str(tmp_path / "model.safetensors")}
    with pytest.raises(ResnexusError, match="do not fit SE_ResNeXt50_32x4d"):
        timm.create_model("SE_ResNeXt50_32x4d", pretrained=True, pretrained_cfg_overlay=file, **SHORT)


@every_name
def test_forward(name, shape, images):
    network = build(name, shape, num_classes=11)
    expected = create_model(name, num_classes=11, **shape).eval()
    expected.load_state_dict(network.state_dict())
    assert torch.equal(network(images), expected(images))
    features = network.forward_features(images)
    assert features.shape[1] == network.num_features == network.head_hidden_size
    assert torch.equal(network.forward_head(features), network(images))
    traced = torch.fx.symbolic_trace(network)
    assert torch.equal(traced(images), network(images))


@every_name
def test_features_of_every_class(name, shape, images):
    network = build(name, shape)
    expected = network.forward_intermediates(images, intermediates_only=True)
    for feature_cls in (None, "list", "getter", "dict", "hook", "fx"):
        maps = build(name, shape, features_only=True, feature_cls=feature_cls)
        found = maps(images)
        same(list(found.values()) if isinstance(found, dict) else list(found), expected)
        for feature, channels, reduction in zip(
            expected, maps.feature_info.channels(), maps.feature_info.reduction(), strict=True
        ):
            assert feature.shape[1:] == (channels, -(-65 // reduction), -(-48 // reduction))


@every_name
def test_intermediates(name, shape, images):
    network = build(name, shape, num_classes=0)
    maps = network.forward_intermediates(images, intermediates_only=True)
    last, everything = network.forward_intermediates(images)
    same([last, *everything], [network.forward_features(images), *maps])
    same(network.forward_intermediates(images, 2, intermediates_only=True), maps[-2:])
    same(network.forward_intermediates(images, [3, 0], intermediates_only=True), [maps[3], maps[0]])
    assert network.prune_intermediate_layers([1, -2]) == [1, 3]
    same(network.forward_intermediates(images, [1, 3], intermediates_only=True), [maps[1], maps[3]])
    assert len(network.stages) == 3
    same([network(images)], [maps[3]])


@pytest.mark.parametrize("feature_cls", ["list", "getter"])
def test_maps_come_in_the_order_in_which_they_are_named(feature_cls, images):
    everything = build(THREE[0], features_only=True)(images)
    network = build(THREE[0], features_only=True, out_indices=(3, 0), feature_cls=feature_cls)
    same(network(images), [everything[3], everything[0]])
    assert network.feature_info.channels() == [everything[3].shape[1], everything[0].shape[1]]
    last = build(THREE[0], features_only=True, out_indices=(-1,), feature_cls=feature_cls)
    same(last(images), everything[-1:])


def test_a_list_has_flat_children_under_the_names_in_its_feature_info():
    network = build(THREE[0], features_only=True, out_indices=(2, 3))
    assert [name for name, _ in network.named_children()] == ["stem", "pool", "stage0", "stage1", "stage2"]
    assert network.feature_info.module_name() == ["stage1", "stage2"]
    assert [info["index"] for info in network.feature_info.get_dicts()] == [2, 3]
    assert network.return_layers == {"stage1": "2", "stage2": "3"}


@three_kinds
def test_output_stride_is_exact_but_for_gates(name):
    plain, dilated = (build(name, features_only=True, output_stride=stride).double() for stride in (32, 8))
    x = torch.randn(1, 3, 65, 97, dtype=torch.float64)
    assert dilated.feature_info.reduction() == [2, 4, 8, 8, 8]
    with torch.inference_mode():
        expected, shared = plain(x)[-1], dilated(x)[-1][..., ::4, ::4]
    difference = float((shared - expected).abs().max() / expected.abs().max())
    assert difference > 1e-5 if name.startswith("SE") else difference < 1e-12, difference


@three_kinds
def test_training_with_dropout_and_stochastic_depth(name, images):
    network = build(name, num_classes=3, drop_rate=0.5, drop_path_rate=0.5)
    plain = build(name, num_classes=3)
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network(images), plain(images))
    freeze_batch_norm_2d(network)  # what is left to chance is what is dropped
    network.train()
    assert not torch.equal(network(images), network(images))
    rates = [block.drop_path.p for stage in network.stages for block in stage]
    assert rates == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2])
    network(images).sum().backward()
    assert all(layer.weight.grad is not None for layer in network.modules() if isinstance(layer, nn.Linear))


@pytest.mark.parametrize("feature_cls", ["list", "getter"])
def test_checkpointed_features_count_a_batch_once(feature_cls, images):
    plain = build(THREE[0], features_only=True, feature_cls=feature_cls).train()
    saving = deepcopy(plain)
    (saving if feature_cls == "list" else saving.model).set_grad_checkpointing()
    for network in (plain, saving):
        sum(feature.square().sum() for feature in network(images)).backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        assert a.grad is None or torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-4), name
    same(list(saving.buffers()), list(plain.buffers()))


def test_groups_for_layer_decay_go_from_the_stem_to_the_head():
    network = build("ResNeXt50_32x4d", {**SHORT, "depths": (2, 1, 1, 1)})
    groups = group_parameters(network, network.group_matcher(), reverse=True)
    assert groups["stem.0.conv.weight"] == 0
    assert [
        groups[f"stages.{stage}.{block}.branch.conv0.conv.weight"] for stage, block in ((0, 0), (0, 1), (3, 0))
    ] == [
        1,
        2,
        5,
    ]
    assert groups["head.weight"] == max(groups.values())
    coarse = group_parameters(network, network.group_matcher(coarse=True), reverse=True)
    assert coarse["stages.0.0.branch.conv0.conv.weight"] == coarse["stages.0.1.branch.conv0.conv.weight"]


@pytest.mark.parametrize(("pool", "channels"), [("avg", 1), ("max", 1), ("avgmax", 1), ("catavgmax", 2)])
def test_heads_and_pools(pool, channels, images):
    network = build(THREE[1], num_classes=9, global_pool=pool)
    assert network.get_classifier().in_features == network.head_hidden_size == channels * network.num_features
    assert network(images).shape == (2, 9)
    network.reset_classifier(0)
    assert network(images).shape == (2, channels * network.num_features)
    network.reset_classifier(0, "")
    assert torch.equal(network(images), network.forward_features(images))
    network.reset_classifier(4, "avg")
    assert network(images).shape == (2, 4)
    assert network.get_classifier(name_only=True) == "head"
    assert isinstance(network.get_submodule("head"), nn.Linear)


def test_a_frozen_backbone_is_timms():
    network = build(THREE[2])
    freeze_batch_norm_2d(network)
    assert not any(isinstance(module, BatchNorm) for module in network.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"act_layer": nn.GELU}, "unknown option of ResNet50_vd in timm 'act_layer'"),
        ({"pruned": True}, "unknown option of ResNet50_vd in timm 'pruned'"),
        ({"num_clases": 3}, "did you mean 'num_classes'"),
        ({"global_pool": "mean"}, "unknown global_pool 'mean'"),
        ({"global_pool": ""}, "global_pool='' leaves maps"),
        ({"output_stride": 12}, "output_stride=12: expected one of 4, 8, 16, 32"),
        ({"drop_rate": 1.0}, "drop_rate=1.0: expected at least 0 and less than 1"),
        ({"drop_path_rate": -0.1}, "drop_path_rate=-0.1"),
    ],
)
def test_what_cannot_be_offered_is_an_error(options, message):
    with torch.device("meta"), pytest.raises(ResnexusError, match=message):
        timm.create_model("ResNet50_vd", **options)


def test_an_engine_is_told_what_the_row_does_not_say():
    with torch.device("meta"):
        network = build("ResNet50_vd", global_pool="max")
    assert network.deviation == "global_pool='max'"
    with pytest.raises(ResnexusError, match="cannot accelerate ResNet50_vd with global_pool='max'"):
        resnexus.accelerate(network)


def test_without_timm_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "resnexus.timm")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ResnexusError, match=r"timm is not installed: pip install 'resnexus\[timm\]'"):
        import resnexus.timm  # noqa: F401


def test_rows_are_those_of_the_catalog_and_of_timm_as_it_counts_strides():
    with torch.device("meta"):
        assert timm.create_model(NAME).architecture == architecture(NAME)
        assert timm.create_model(NAME, output_stride=32).output_stride == 32
        assert timm.create_model(NAME, stem="small").output_stride == 8
