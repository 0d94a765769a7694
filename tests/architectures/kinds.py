"""Small networks, one of each kind."""

import pytest

from resnexus import Architecture

_SHAPE = {"depths": (1, 2), "out_width": 16, "stem_width": 8}
_VD = {"stem": "deep", "shortcut": "pool"}
TINY = {
    row.name: row
    for row in (
        Architecture(name="basic", block="basic", width=16, **_SHAPE),
        Architecture(name="grouped", block="bottleneck", width=2, groups=4, **_SHAPE),
        Architecture(name="gated", block="bottleneck", width=4, se_reduction=4, **_VD, **_SHAPE),
        Architecture(name="res2", block="res2", width=3, scale=4, **_SHAPE),
        Architecture(name="authors", block="res2", width=3, scale=4, cascade="authors", **_SHAPE),
        Architecture(name="small", block="res2", width=2, scale=2, stem="small", **_SHAPE),
    )
}
every_kind = pytest.mark.parametrize("row", TINY.values(), ids=TINY)
