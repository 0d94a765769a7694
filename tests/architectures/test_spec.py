from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnexus import Architecture, ResnexusError, architecture
from resnexus.architectures.catalog import BASELINES, CATALOG, SERIES
from resnexus.architectures.siblings import SIBLINGS

ROW = architecture("ResNeXt50_32x4d")
RES2 = architecture("Res2Net50_26w_4s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": "bottlneck"}, "unknown block 'bottlneck': did you mean 'bottleneck'"),
        ({"stem": "conv3"}, "unknown stem 'conv3'"),
        ({"shortcut": "none"}, "unknown shortcut 'none'"),
        ({"cascade": "timm"}, "unknown cascade 'timm': accepted are authors, paddle"),
        ({"depths": ()}, r"depths=\(\): give the blocks of 1 to 4 stages"),
        ({"depths": (1, 1, 1, 1, 1)}, "1 to 4 stages"),
        ({"depths": (3, 0, 6, 3)}, r"depths\[1\]=0: expected a whole number of at least 1"),
        ({"width": -4}, "width=-4"),
        ({"width": 4.0}, r"width=4.0: expected a whole number"),
        ({"groups": True}, "groups=True"),
        ({"groups": 0}, "groups=0"),
        ({"scale": 4}, "scale=4 with block='bottleneck'"),
        ({"block": "res2"}, "scale=1 with block='res2'"),
        ({"block": "basic"}, "a basic block has one width and no groups"),
        ({"cascade": "authors"}, "cascade='authors' has no effect on block='bottleneck'"),
        ({"se_reduction": 512}, "se_reduction=512 leaves no channel of out_width=256"),
        ({"se_reduction": 0}, "se_reduction=0"),
        ({"stem": "deep", "stem_width": 63}, "stem_width=63: a deep stem needs an even width"),
    ],
)
def test_contradictions_are_refused_when_the_row_is_created(change, message):
    with pytest.raises(ResnexusError, match=message):
        replace(ROW, **change)


def test_widths_as_published():
    assert [ROW.inner_width(stage) for stage in range(4)] == [128, 256, 512, 1024]
    assert [ROW.outer_width(stage) for stage in range(4)] == [256, 512, 1024, 2048]
    assert [ROW.in_width(stage) for stage in range(4)] == [64, 256, 512, 1024]
    assert RES2.inner_width(0) == 104
    assert architecture("Res2Net50_14w_8s").inner_width(3) == 896
    assert architecture("ResNeXt101_64x4d").inner_width(0) == 256
    assert architecture("SE_ResNet18_vd").outer_width(3) == 512


def test_depths_as_published():
    depths = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 6, 3), "101": (3, 4, 23, 3)}
    depths |= {"152": (3, 8, 36, 3), "154": (3, 8, 36, 3), "200": (3, 12, 48, 3)}
    for name, row in CATALOG.items():
        number = next(number for number in sorted(depths, key=len, reverse=True) if number in name)
        assert row.depths == depths[number], name


def test_only_two_networks_have_the_wide_stem():
    assert [row.name for row in SERIES if row.stem_width == 128] == ["SE_ResNeXt50_vd_32x4d", "SENet154_vd"]


def test_vd_is_a_deep_stem_and_a_pooled_shortcut():
    for row in SERIES + BASELINES:
        assert (row.stem == "deep") == (row.shortcut == "pool") == ("_vd" in row.name), row.name


def test_every_field_but_the_authors_cascade_distinguishes_rows():
    rows = list(CATALOG.values()) + list(SIBLINGS.values())
    for field in fields(Architecture):
        if field.name != "cascade":
            assert len({getattr(row, field.name) for row in rows}) >= 2, field.name


def test_reductions():
    assert ROW.reductions == (4, 8, 16, 32)
    assert replace(ROW, stem="small", depths=(1, 1)).reductions == (1, 2)


@given(
    width=st.integers(1, 9),
    groups=st.integers(1, 4),
    scale=st.integers(2, 5),
    stage=st.integers(0, 3),
)
def test_widths_double_from_stage_to_stage(width, groups, scale, stage):
    row = replace(RES2, width=width, groups=groups, scale=scale)
    assert row.inner_width(stage) == width * groups * scale * 2**stage
    assert row.inner_width(stage) % (row.scale * row.groups) == 0
