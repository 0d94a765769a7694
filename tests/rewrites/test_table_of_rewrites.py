from __future__ import annotations

import copy
import warnings
from operator import attrgetter

import pytest
import torch

import resnexus
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import agreement, map_agreement
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.table import REWRITES, applicable, explain, rewrite, rewritten
from tests.sampled import sampled

# A rewrite only reorders float64 arithmetic.
TOLERANCE = 1e-10


def _row(block: str, name: str, **fields) -> Architecture:
    shape = {"basic": {"width": 16, "out_width": 16}, "bottleneck": {"width": 4, "groups": 8, "out_width": 64}}
    shape["res2"] = {"width": 6, "scale": 4, "out_width": 48}
    fields = {"depths": (2, 2), "stem_width": 16, **shape[block], **fields}
    return Architecture(name=name, block=block, **fields)


_VD = {"stem": "deep", "shortcut": "pool"}
ROWS = [
    _row("basic", "basic"),
    _row("basic", "basic_vd_se", se_reduction=4, **_VD),
    _row("bottleneck", "resnet", groups=1, width=24),
    _row("bottleneck", "resnext_vd_3_stages", depths=(1, 1, 2), **_VD),
    _row("bottleneck", "resnext_se_small", se_reduction=4, stem="small"),
    _row("bottleneck", "resnext_se_vd", se_reduction=4, groups=6, **_VD),
    _row("res2", "res2"),
    _row("res2", "res2_vd_8s", scale=8, width=3, **_VD),
    _row("res2", "res2_2s", scale=2),
    _row("res2", "res2_authors", cascade="authors"),
    _row("res2", "res2_authors_vd_se", cascade="authors", se_reduction=4, **_VD),
    _row("res2", "res2_groups_se", groups=3, width=2, scale=3, se_reduction=4, **_VD),
    _row("res2", "res2_one_stage_small", depths=(3,), stem="small"),
]
PAIRS = [(row, name) for row in ROWS for name in applicable(row)]
# Every block, stem, shortcut and cascade, and every rewrite.
KEPT = {"basic", "basic_vd_se", "resnet", "resnext_se_vd", "res2_authors", "res2_groups_se", "res2_one_stage_small"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # these networks are too small to share
    yield
    torch.set_num_threads(before)


# Odd at the stem, and odd and even at the second stage.
def _images(height: int = 35, width: int = 29) -> torch.Tensor:
    return torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "row",
    sampled([row for row in ROWS if len(row.depths) > 1], KEPT - {"res2_one_stage_small"}, attrgetter("name")),
    ids=attrgetter("name"),
)
def test_all_rewrites_together_keep_every_map_of_a_dilated_network(row, random_network):
    maps, images = tuple(range(len(row.depths) + 1)), _images(19, 22)
    network = random_network(row, features_only=True, num_classes=None, output_stride=row.reductions[0])
    with torch.inference_mode():
        found = map_agreement(maps, network(images), rewritten(network, applicable(row))(images))
    assert found.within(TOLERANCE), found.subject


def _check(network, changed, images) -> None:
    with torch.inference_mode():
        found = agreement(network(images), changed(images))
    assert found.within(TOLERANCE), found


@pytest.mark.parametrize(
    ("row", "name"),
    sampled(PAIRS, KEPT, lambda pair: pair[0].name),
    ids=[f"{row.name}-{name}" for row, name in PAIRS],
)
def test_every_rewrite_computes_the_same_and_leaves_its_argument_alone_and_once_is_enough(row, name, random_network):
    network = random_network(row)
    before = copy.deepcopy(network.state_dict())
    changed = rewrite(name).apply(network)
    _check(network, changed, _images())
    _check(network, changed, _images(32, 32))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert before.keys() == network.state_dict().keys()
    shared = {p.data_ptr() for p in network.parameters()} & {p.data_ptr() for p in changed.parameters()}
    assert not shared
    twice = rewrite(name).apply(changed)
    assert str(twice) == str(changed)
    assert all(torch.equal(a, b) for a, b in zip(changed.parameters(), twice.parameters(), strict=True))


@pytest.mark.parametrize("row", sampled(ROWS, KEPT, attrgetter("name")), ids=attrgetter("name"))
def test_all_rewrites_of_a_row_combine_in_any_order_of_their_names(row, random_network):
    network = random_network(row)
    names = applicable(row)
    changed = rewritten(network, reversed(names))
    _check(network, changed, _images())
    again = rewritten(network, names)
    assert str(changed) == str(again)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnext_se_vd", "res2_authors", "res2_groups_se"])
def test_rewritten_networks_are_captured_whole(name, random_network):
    row = next(row for row in ROWS if row.name == name)
    images = _images(33, 32)
    network = random_network(row)
    changed = rewritten(network, applicable(row))
    torch.compiler.reset()
    with torch.inference_mode():
        expected = network(images)
        compiled = torch.compile(changed, fullgraph=True, backend="eager")(images)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(changed, (images,), dynamic_shapes=({0: batch},)).module()
    assert agreement(expected, compiled).within(TOLERANCE)
    assert agreement(expected, exported(images)).within(TOLERANCE)
    assert agreement(expected[:1].repeat(3, 1), exported(images[:1].repeat(3, 1, 1, 1))).within(TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnext_se_vd", "res2_authors_vd_se"])
def test_rewritten_networks_compile(name, random_network):
    row = next(row for row in ROWS if row.name == name)
    network = random_network(row, dtype=torch.float32)
    changed = rewritten(network, applicable(row))
    images = _images(33, 32).float()
    torch.compiler.reset()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own dependencies
        compiled = torch.compile(changed, fullgraph=True)(images)
        assert agreement(network.double()(images.double()), compiled).within(1e-5)


def test_weights_are_computed_in_float64_and_cast_once(random_network):
    row = next(row for row in ROWS if row.name == "resnext_se_vd")
    single = random_network(row, dtype=torch.float32)
    exact = rewritten(copy.deepcopy(single).double(), applicable(row))
    for found, expected in zip(rewritten(single, applicable(row)).parameters(), exact.parameters(), strict=True):
        assert torch.equal(found, expected.float())


def test_no_names_give_a_copy_for_inference(random_network):
    network = random_network(ROWS[0]).train()
    copied = rewritten(network, [])
    assert str(copied) == str(network)
    assert not copied.training
    assert network.training
    assert not any(parameter.requires_grad for parameter in copied.parameters())


def test_feature_networks_are_rewritten_too(random_network):
    row = next(row for row in ROWS if row.name == "res2_authors_vd_se")
    features = resnexus.create_model(row, features_only=True).double().eval()
    changed = rewritten(features, applicable(row))
    with torch.inference_mode():
        for expected, found in zip(features(_images()), changed(_images()), strict=True):
            assert (expected - found).abs().max() <= TOLERANCE * expected.abs().max()


def test_rewrites_that_do_not_apply_are_refused(random_network):
    network = random_network(ROWS[0])
    for name in REWRITES.keys() - {"fold_batch_norm"}:
        with pytest.raises(ResnexusError, match=r"basic"):
            rewrite(name).apply(network)
        with pytest.raises(ResnexusError, match=rf"{name} does not apply to basic: it is for rows with"):
            rewritten(network, [name])


def test_unknown_rewrites_name_the_nearest():
    with pytest.raises(ResnexusError, match=r"unknown rewrite 'fold_batchnorm': did you mean 'fold_batch_norm'"):
        rewrite("fold_batchnorm")


def test_res2_rewrites_come_before_the_gate(random_network):
    row = next(row for row in ROWS if row.name == "res2_authors_vd_se")
    gated = rewrite("gate_before_projection").apply(random_network(row))
    with pytest.raises(ResnexusError, match=r"res2_without_copies comes before gate_before_projection"):
        rewrite("res2_without_copies").apply(gated)


@pytest.mark.parametrize("name", REWRITES)
def test_every_rewrite_is_explained(name):
    text = explain(name)
    assert text.startswith(f"{name}\n")
    assert "Exact because:" in text
    assert "Applies to: " in text


def test_every_rewrite_applies_to_some_network_of_the_series_and_every_network_has_one():
    used = {name for row in CATALOG.values() for name in applicable(row)}
    assert used == set(REWRITES)
    assert all("fold_batch_norm" in applicable(row) for row in CATALOG.values())


def test_a_weight_too_large_for_half_precision_is_refused(random_network):
    network = random_network(ROWS[0], dtype=torch.float16)
    network.stem[0].norm.running_var.fill_(0)
    network.stem[0].norm.weight.data.fill_(60000)
    with pytest.raises(ResnexusError, match=r"does not fit torch.float16: use float32 or bfloat16"):
        fold_batch_norm(network)
    with pytest.raises(ResnexusError, match=r"does not fit torch.float16"):
        rewritten(network, ["fold_batch_norm"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_every_network_of_the_series_with_everything_that_applies(name, random_network):
    network = random_network(name, num_classes=1000)
    images = _images(97, 131)
    for names in [[name] for name in applicable(CATALOG[name])] + [applicable(CATALOG[name])]:
        _check(network, rewritten(network, names), images)
