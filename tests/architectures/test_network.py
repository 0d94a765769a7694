import pickle
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import TINY, every_kind
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from resnexus import ResnexusError, architecture, create_model
from resnexus.architectures.blocks import BatchNorm, Res2Branch, SqueezeExcite
from resnexus.architectures.dilation import Grid


def build(row, **options):
    torch.manual_seed(0)
    return create_model(row, num_classes=5, **options).eval()


@every_kind
def test_features_are_what_the_classifier_sees(row):
    network, x = build(row), torch.randn(2, 3, 37, 50)
    features = network.stage_features(x)
    assert list(features) == ["stage0", "stage1"]
    last = network.forward_features(x)
    assert torch.equal(features["stage1"], last)
    assert torch.equal(network.forward_head(last), network(x))
    assert torch.equal(network.forward_head(last, pre_logits=True), last.mean((2, 3)))
    for info, feature in zip(network.feature_info[1:], features.values(), strict=True):
        assert torch.equal(feature, features[info.name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": -1}, "num_classes=-1: expected a whole number of at least 0"),
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"in_chans": 0}, "in_chans=0: expected a whole number of at least 1"),
        ({"drop_path_rate": 0.1}, "unknown option 'drop_path_rate'"),
        ({"groupes": 4}, "did you mean 'groups'"),
        ({"num_clases": 3}, "unknown option 'num_clases': did you mean 'num_classes'"),
        (
            {"features_only": True, "out_indices": 3},
            r"out_indices=3: expected a sequence of maps; for that one, \(3,\)",
        ),
        ({"cascade": "authors"}, "no effect on block='basic'"),
        ({"out_indices": (1,)}, "no effect without features_only=True"),
        ({"features_only": True, "num_classes": 10}, "num_classes=10 has no effect with features_only=True"),
    ],
)
def test_options_that_are_unknown_or_have_no_effect_are_errors(options, message):
    with pytest.raises(ResnexusError, match=message):
        create_model("SE_ResNet18_vd", **options)


def test_options_change_the_row():
    network = create_model("Res2Net50_26w_4s", stem="small", depths=(1, 1), cascade="authors")
    assert network.architecture == replace(
        architecture("Res2Net50_26w_4s"), stem="small", depths=(1, 1), cascade="authors"
    )


def test_reset_classifier():
    network, x = build(TINY["basic"]).double(), torch.randn(2, 3, 32, 32).double()
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    network.reset_classifier(0)
    assert torch.equal(network(x), features)
    network.reset_classifier(3)
    assert network(x).dtype == torch.float64
    assert network.get_classifier().weight.shape == (3, 32)
    assert network.num_classes == 3


@every_kind
def test_gradient_checkpointing_changes_nothing_but_memory(row):
    plain = build(row).train()
    saving = deepcopy(plain)
    saving.set_grad_checkpointing()
    x = torch.randn(3, 3, 32, 32)
    for network in (plain, saving):
        network(x).square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-5), name
    for (name, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b), name


@every_kind
def test_is_traced_by_fx_and_still_follows_its_batches(row):
    network, x = build(row, output_stride=row.reductions[0]), torch.randn(2, 3, 33, 40)
    for mode in (False, True):
        traced = torch.fx.symbolic_trace(deepcopy(network).train(mode))
        plain = deepcopy(network).train(mode)
        assert torch.equal(traced(x), plain(x))
        expected = plain.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in traced.state_dict().items())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # PyTorch's own word on it
@pytest.mark.parametrize("features_only", [False, True])
def test_is_not_scripted_and_says_so(features_only):
    network = create_model(TINY["basic"], features_only=features_only)
    for module in (network, nn.Sequential(network)):
        with pytest.raises(ResnexusError, match=r"torch.jit.script does not take a \w*Network.*torch.export"):
            torch.jit.script(module)


@every_kind
def test_torchvision_extracts_every_feature_map_by_the_name_of_its_module(row):
    network, x = build(row), torch.randn(1, 3, 33, 40)
    extractor = create_feature_extractor(network, {info.module: info.name for info in network.feature_info}).eval()
    expected = network.forward_intermediates(x, intermediates_only=True)
    for found, feature in zip(extractor(x).values(), expected, strict=True):
        assert torch.equal(found, feature)


@every_kind
def test_frozen_normalisations_do_in_training_what_they_do_in_evaluation(row):
    network, x = build(row), torch.randn(2, 3, 33, 40)
    expected, before = network(x), deepcopy(network.state_dict())
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.frozen = True
    assert torch.equal(network.train()(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def _compiles_to_one_graph(row, backend):
    torch._dynamo.reset()
    network, x = build(row), torch.randn(2, 3, 32, 40)
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend=backend)(x)
    assert torch.allclose(compiled, network(x), atol=1e-5)
    network.train()
    reference = deepcopy(network)
    assert torch.allclose(torch.compile(network, fullgraph=True, backend=backend)(x), reference(x), atol=1e-5)
    assert torch.allclose(network.stem[0].norm.running_var, reference.stem[0].norm.running_var)


@pytest.mark.thorough
def test_compiles_to_one_graph():
    _compiles_to_one_graph(TINY["res2"], "eager")


@pytest.mark.slow
@every_kind
def test_every_kind_compiles_to_one_graph_with_gradients_ahead_of_time(row):
    _compiles_to_one_graph(row, "aot_eager")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks={"res2": [], "gated": [pytest.mark.thorough]}.get(kind, [pytest.mark.slow]))
        for kind in TINY
    ],
)
def test_exports_with_a_dynamic_batch(kind):
    row = TINY[kind]
    network = build(row)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 3, 32, 32)
    assert torch.allclose(program.module()(x), network(x), atol=1e-5)


@every_kind
def test_memory_format_precision_and_copies(row):
    network, x = build(row), torch.randn(2, 3, 33, 40)
    expected = network(x)
    last = deepcopy(network).to(memory_format=torch.channels_last)
    assert torch.allclose(last(x.contiguous(memory_format=torch.channels_last)), expected, atol=1e-4)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(network(x).float(), expected, atol=0.1, rtol=0.1)


@every_kind
def test_an_image_does_not_depend_on_its_batch(row):
    network, x = build(row).double(), torch.randn(3, 3, 32, 32).double()
    assert torch.allclose(network(x)[1:2], network(x[1:2]), atol=1e-12)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(height=st.integers(17, 70), width=st.integers(17, 70), kind=st.sampled_from(sorted(TINY)))
def test_any_image_size_gives_the_promised_feature_sizes(height, width, kind):
    row = TINY[kind]
    with torch.device("meta"):
        features = create_model(row).stage_features(torch.empty(1, 3, height, width))
    for reduction, feature in zip(row.reductions, features.values(), strict=True):
        assert feature.shape[2:] == (-(-height // reduction), -(-width // reduction))


def test_chained_cascade_by_hand():
    # Three splits of one channel; every 3x3 is an identity, both 1x1 are identities, batch norms do nothing.
    branch = Res2Branch(3, 3, 3, grid=Grid(stride=1), groups=1, scale=3, chained=True, count_padding=False).eval()
    for layer in branch.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.0
    x = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    assert branch(x).flatten().tolist() == [1.0, 11.0, 100.0]


def test_unchained_pool_by_hand():
    def pooled(count_padding):
        branch = Res2Branch(2, 2, 2, grid=Grid(stride=2), groups=1, scale=2, chained=False, count_padding=count_padding)
        return branch.pool(torch.ones(1, 1, 4, 4))[0, 0]

    assert pooled(False).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert torch.allclose(pooled(True), torch.tensor([[4 / 9, 6 / 9], [6 / 9, 1.0]]))


def test_the_variants_differ_where_they_should():
    def kinds(cascade):
        row = replace(TINY["res2"], cascade=cascade)
        return [[block.branch.chained for block in stage] for stage in create_model(row).stages]

    assert kinds("paddle") == [[True], [False, True]]
    assert kinds("authors") == [[False], [False, True]]


def test_gate_by_hand():
    gate = SqueezeExcite(2, 2)
    with torch.no_grad():
        gate.squeeze.weight.copy_(torch.tensor([[1.0, -1.0]]))
        gate.squeeze.bias.fill_(0.5)
        gate.excite.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        gate.excite.bias.copy_(torch.tensor([0.0, 1.0]))
    x = torch.tensor([3.0, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
    hidden = 3.0 - 1.0 + 0.5
    expected = torch.tensor([3.0, 1.0]) * torch.sigmoid(torch.tensor([hidden, 1 - 2 * hidden]))
    assert torch.allclose(gate(x)[0, :, 0, 0], expected)


def test_running_variance_is_the_biased_one():
    norm, x = BatchNorm(3).train(), torch.randn(4, 3, 5, 6)
    norm(x)
    biased = x.var(dim=(0, 2, 3), unbiased=False)
    assert torch.allclose(norm.running_var, 0.9 * torch.ones(3) + 0.1 * biased, atol=1e-6)
    assert torch.allclose(norm.running_mean, 0.1 * x.mean(dim=(0, 2, 3)), atol=1e-7)
    assert norm.num_batches_tracked == 1
    assert torch.equal(
        norm.eval()(x), nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )


def test_initial_weights_as_published():
    network = create_model("SE_ResNeXt50_32x4d", depths=(1, 1, 1, 1))
    grouped = network.stages[3][0].branch.conv1.conv
    assert grouped.weight.shape == (1024, 32, 3, 3)
    assert abs(grouped.weight.std().item() / (2 / (9 * 1024)) ** 0.5 - 1) < 0.02  # not divided by the groups
    bound = 2048**-0.5
    assert bound * 0.99 < network.head.weight.abs().max().item() <= bound
    assert network.head.bias.abs().max() == 0
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(torch.all(norm.weight == 1) for norm in norms)


def test_nothing_is_drawn_where_there_are_no_values(monkeypatch):
    """The first drawing on the meta device makes PyTorch import hundreds of modules."""
    monkeypatch.setattr(nn.init, "normal_", lambda *_, **__: pytest.fail("drawn"))
    with torch.device("meta"):
        assert create_model(TINY["gated"]).head.weight.is_meta
