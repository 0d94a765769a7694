"""The parity kit passes what is right, and says what is wrong with what is not."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch

from resnexus import ResnexusError, accelerate, architecture
from resnexus.architectures.catalog import SERIES
from resnexus.architectures.siblings import SIBLINGS
from resnexus.parity import verify as verify_module
from resnexus.parity.agreement import FLOAT32_TOLERANCE
from resnexus.parity.golden import golden_network
from resnexus.parity.traps import TRAPS
from resnexus.parity.verify import unrecorded, verify

SMALL = [(97, 131)]


@cache
def golden_of(name):
    return golden_network(architecture(name), torch.float64)


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch):
    """What the traps are tried on is drawn once for all tests."""
    monkeypatch.setattr(verify_module, "golden_network", lambda row, dtype: golden_copy(row.name, dtype))


def golden_copy(name, dtype=torch.float64):
    """A golden network to spoil; drawing its weights is what takes long."""
    return deepcopy(golden_of(name)).to(dtype)


@pytest.mark.parametrize("name", ["SE_ResNet18_vd", "Res2Net50_26w_4s"])
def test_our_network_passes(name):
    (check,) = verify(name, image_sizes=SMALL)
    assert check.passed
    assert check.agreement.max_rel < 1e-11
    assert (check.first_difference, check.trap) == (None, None)
    (check,) = verify(name, dtype=torch.float32, image_sizes=SMALL)
    assert check.passed
    assert check.tolerance == 1e-4


@pytest.mark.parametrize(
    ("name", "trap", "stage"),
    [
        pytest.param("Res2Net50_26w_4s", TRAPS[0], "stage0", marks=pytest.mark.thorough),  # as with golden logits
        ("Res2Net50_26w_4s", TRAPS[1], "stage0"),
        pytest.param("Res2Net50_26w_4s", TRAPS[2], "stage1", marks=pytest.mark.thorough),
        ("SE_ResNet18_vd", TRAPS[3], "stage0"),
        ("SE_ResNet18_vd", TRAPS[4], "stage1"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_trap_is_noticed_and_named(name, trap, stage):
    network = golden_copy(name, torch.float32)
    trap.fall(network)
    (check,) = verify(name, network, dtype=torch.float32, image_sizes=SMALL)
    assert not check.passed
    assert check.agreement.max_rel > 100 * FLOAT32_TOLERANCE
    assert check.first_difference == stage
    assert check.trap is trap


def test_an_unknown_mistake_is_located_but_not_explained():
    network = golden_copy("SE_ResNet18_vd")
    with torch.no_grad():
        network.stages[2][1].branch.conv1.conv.weight.mul_(1.01)
    (check,) = verify("SE_ResNet18_vd", network, image_sizes=SMALL)
    assert (check.passed, check.first_difference, check.trap) == (False, "stage2", None)
    with torch.no_grad():
        network.stages[2][1].branch.conv1.conv.weight.div_(1.01)
        network.head.bias.add_(torch.linspace(0, 1, 1000))
    (check,) = verify("SE_ResNet18_vd", network, image_sizes=SMALL)
    assert check.first_difference == "head"


def test_a_form_that_shows_only_logits():
    network = golden_copy("SE_ResNet18_vd", torch.float32)
    (check,) = verify("SE_ResNet18_vd", network.forward, dtype=torch.float32, image_sizes=SMALL)
    assert check.passed
    (check,) = verify("SE_ResNet18_vd", lambda x: network(x) * 1.001, dtype=torch.float32, image_sizes=SMALL)
    assert not check.passed
    assert check.first_difference is None


def test_rows_are_checked_and_not_their_names():
    row = architecture("SE_ResNet18_vd")
    (check,) = verify(row, dtype=torch.float32, image_sizes=SMALL)
    assert check.passed
    with pytest.raises(ResnexusError, match="SE_ResNet18_vd with stem='small' is another network than the published"):
        verify(replace(row, stem="small"))


@pytest.mark.parametrize(
    ("row", "other_function", "reason"),
    [
        (
            replace(architecture("Res2Net50_26w_4s"), cascade="authors"),
            True,
            "with the authors' cascade is another function than the published Res2Net50_26w_4s: it is that of the "
            "Res2Net authors and of timm",
        ),
        (replace(architecture("SE_ResNet18_vd"), stem_width=32), True, "with stem_width=32 is another network"),
        (architecture("ResNet50_vd"), False, "no golden logits for 'ResNet50_vd'"),
        (SIBLINGS["Res2Net_small"], False, "no golden logits for 'Res2Net_small'"),
        (replace(SIBLINGS["Res2Net_small"], cascade="authors"), False, "no golden logits for 'Res2Net_small'"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_the_original_never_computed(row, other_function, reason):
    missing = unrecorded(row)
    assert missing.other_function == other_function
    assert reason in missing.reason
    with pytest.raises(ResnexusError) as caught:
        verify(row, lambda images: images)
    assert str(caught.value) == missing.reason


def test_every_published_network_was_computed():
    assert [row.name for row in SERIES if unrecorded(row)] == []


def test_logits_of_another_shape():
    with pytest.raises(ResnexusError, match=r"cannot compare logits of \(2, 1000\) with \(2, 10\)"):
        verify("SE_ResNet18_vd", lambda x: torch.zeros(2, 10), image_sizes=SMALL)


@pytest.mark.slow
def test_a_compiled_network_and_an_engine_pass(tmp_path):
    network = golden_copy("SE_ResNet18_vd", torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    engine = accelerate(
        network, image_size=SMALL[0], batch_sizes=(2,), backends=["openvino"], cache_dir=tmp_path, seconds=0.1
    )
    for form in (compiled, engine):
        (check,) = verify("SE_ResNet18_vd", form, dtype=torch.float32, image_sizes=SMALL)
        assert check.passed, form
        assert check.agreement.top1 == 1
