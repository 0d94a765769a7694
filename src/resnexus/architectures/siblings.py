"""Small siblings of the series at matched cost, to test its claim on small images in minutes.

Each family spends its multiply-adds differently (width, cardinality, gates, scale); on an 8x8 image they agree with
one another within 5 %.
"""

from __future__ import annotations

from typing import Any

from resnexus.architectures.spec import Architecture

_SHAPE: dict[str, Any] = {"depths": (2, 2, 2), "out_width": 64, "stem": "small", "stem_width": 32}

SIBLINGS = {
    row.name: row
    for row in (
        Architecture(name="ResNet_small", block="bottleneck", width=18, **_SHAPE),
        Architecture(name="ResNeXt_small", block="bottleneck", width=4, groups=8, **_SHAPE),
        Architecture(name="SE_ResNet_small", block="bottleneck", width=18, se_reduction=16, **_SHAPE),
        Architecture(name="SE_ResNeXt_small", block="bottleneck", width=4, groups=8, se_reduction=16, **_SHAPE),
        Architecture(name="Res2Net_small", block="res2", width=6, scale=5, **_SHAPE),
    )
}
