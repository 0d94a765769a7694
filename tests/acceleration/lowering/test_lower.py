from __future__ import annotations

from typing import Any

import pytest
import torch
from interpreter import interpret

import resnexus
from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.lowering.operations import Conv, Lowered, Move, Pool, Value, reads
from resnexus.parity.agreement import map_agreement
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection
from resnexus.rewrites.table import rewritten
from tests.sampled import sampled

_BASIC: dict[str, Any] = {"block": "basic", "width": 8, "out_width": 8}
_BOTTLENECK: dict[str, Any] = {"block": "bottleneck", "width": 4, "groups": 2, "out_width": 16}
_RES2: dict[str, Any] = {"block": "res2", "width": 5, "scale": 3, "out_width": 16}
_VD: dict[str, Any] = {"stem": "deep", "shortcut": "pool"}
KINDS: dict[str, dict[str, Any]] = {
    "basic": _BASIC,
    "basic, small stem": {**_BASIC, "stem": "small"},
    "basic, gated, vd": {**_BASIC, **_VD, "se_reduction": 4},
    "bottleneck": {**_BOTTLENECK, "depths": (1, 2)},
    "bottleneck, gated, vd": {**_BOTTLENECK, **_VD, "se_reduction": 4},
    "res2": {**_RES2, "depths": (2, 2)},
    "res2, vd": {**_RES2, **_VD},
    "res2, groups": {**_RES2, "groups": 2},
    "res2, 2 parts": {**_RES2, "scale": 2},
    "res2, authors": {**_RES2, "depths": (2, 2), "cascade": "authors"},
    "res2, authors, gated, small stem": {**_RES2, "stem": "small", "cascade": "authors", "se_reduction": 4},
}
GATED = [kind for kind, fields in KINDS.items() if "se_reduction" in fields and fields["block"] != "basic"]


def _network(random_network, kind: str, depths: tuple[int, ...] = (), **options: Any):
    fields = {"depths": (1, 1), "stem_width": 8, **KINDS[kind], **({"depths": depths} if depths else {})}
    return random_network(resnexus.Architecture(name="tiny", **fields), **options)


def _images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def _difference(program: Lowered, network, images: torch.Tensor) -> float:
    with torch.inference_mode():
        expected, found = network(images), interpret(program, images)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_means_what_its_network_computes(kind, random_network):
    network = _network(random_network, kind)
    program = lower(fold_batch_norm(network))
    for shape in ((2, 3, 33, 47), (1, 3, 32, 64), (3, 3, 5, 2)):
        assert _difference(program, network, _images(*shape)) < 1e-12, shape


@pytest.mark.parametrize("kind", GATED)
def test_gates_may_be_moved_before(kind, random_network):
    network = _network(random_network, kind, in_chans=4)
    program = lower(gate_before_projection(network))
    assert _difference(program, network, _images(2, 4, 33, 47)) < 1e-12
    assert any(conv.gate is not None for conv in program.operations() if isinstance(conv, Conv))


def test_parts_may_be_of_different_widths(random_network):
    network = _network(random_network, "res2, vd")
    program = lower(rewritten(network, ("res2_grouped_stride2",)))
    assert _difference(program, network, _images(1, 3, 33, 47)) < 1e-12
    assert {value.parts for value in _values(program)} >= {(20, 10)}


def _values(program: Lowered) -> list[Value]:
    return list(dict.fromkeys(operation.out.value for operation in program.operations()))


@pytest.mark.parametrize("kind", KINDS)
def test_values_have_names_of_their_own_and_are_written_once_before_they_are_read(kind, random_network):
    program = lower(fold_batch_norm(_network(random_network, kind)))
    values = _values(program)
    assert len({value.name for value in values}) == len(values)
    assert [section.source for section in program.sections[1:]] == [section.result for section in program.sections[:-1]]
    for section in program.sections:
        written = {section.source.whole.value: set(range(len(section.source.parts)))}
        for operation in section.operations:
            for view in reads(operation):
                assert set(range(view.first, view.first + view.count)) <= written[view.value], view
            parts = set(range(operation.out.first, operation.out.first + operation.out.count))
            assert not parts & written.setdefault(operation.out.value, set()), operation
            written[operation.out.value] |= parts
        assert all(len(parts) == len(value.parts) for value, parts in written.items())
    assert (program.sections[-1].result,) == program.outputs


@pytest.mark.parametrize(
    "kind", sampled(KINDS, ["basic, small stem", "basic, gated, vd", "bottleneck", "res2, vd", "res2, authors"])
)
@pytest.mark.parametrize("maps", [(0, 1, 2, 3), (3, 1), (0,)])
def test_maps_and_dilation(kind, maps, random_network):
    options = {"features_only": True, "out_indices": maps, "num_classes": None}
    for stride in (1, 2) if KINDS[kind].get("stem") == "small" else (4, 8):
        network = _network(random_network, kind, depths=(1, 1, 2), output_stride=stride, **options)
        program = lower(fold_batch_norm(network))
        for shape in ((2, 3, 33, 47), (1, 3, 5, 2)):
            images = _images(*shape)
            with torch.inference_mode():
                found = map_agreement(maps, network(images), interpret(program, images))
            assert found.within(1e-12), (stride, shape, found.subject)
    assert program.has_head is False
    assert len(program.sections) == 1 + max(maps)


def test_only_the_stem(random_network):
    network = _network(random_network, "basic", features_only=True, out_indices=(0,), num_classes=None)
    (stem,) = lower(fold_batch_norm(network)).sections
    assert not [operation for operation in stem.operations if isinstance(operation, Pool)]


def test_a_res2_block_neither_splits_nor_joins(random_network):
    program = lower(fold_batch_norm(_network(random_network, "res2")))
    stage = program.sections[1].operations
    splits = [conv for conv in stage if isinstance(conv, Conv) and conv.out.value.name == "stages.0.0.splits"]
    assert [conv.x.value.name for conv in splits] == ["stages.0.0.parts"] * 2
    assert [conv.addend and (conv.addend.value.name, conv.addend.first) for conv in splits] == [
        None,
        ("stages.0.0.splits", 0),
    ]
    assert [operation.out.channels for operation in stage if isinstance(operation, Move)] == [slice(10, 15)] * 2
    strided = [pool for pool in program.sections[2].operations if isinstance(pool, Pool)]
    assert [(pool.kernel, pool.stride, pool.counts_padding) for pool in strided] == [(3, 2, False)]


def test_sizes_follow_from_the_images():
    value = Value("x", (3, 4), 8)
    assert value.channels == 7
    assert value.size((33, 47)) == (5, 6)
    assert (value.whole.channels, value.part(1).channels) == (slice(0, 7), slice(3, 7))
    assert Value("mean", (3,), None).size((33, 47)) == (1, 1)


@pytest.mark.parametrize(
    ("rewrites", "message"),
    [
        ((), "need folded convolutions, and this network has a ConvNorm: apply fold_batch_norm"),
        (("pool_into_projection",), "need folded convolutions, and this network has a NoneType"),
        (("res2_without_copies",), "need folded convolutions, and this network has a SummedProjection"),
        (("res2_separate_entries",), "take a Res2 block as it is, without rewrites of its own"),
    ],
)
def test_networks_that_are_not_as_they_should_be(rewrites, message, random_network):
    with pytest.raises(BackendError, match=message):
        lower(rewritten(_network(random_network, "res2, vd"), rewrites))


def test_no_classifier(random_network):
    with pytest.raises(BackendError, match="need a classifier, and this network has Identity"):
        lower(fold_batch_norm(_network(random_network, "basic", num_classes=0)))
