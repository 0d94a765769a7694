"""The 24 networks of the series and the four ResNet_vd baselines, one row each, and the look-up of names.

Source of every row: PaddleClas, "SEResNeXt and Res2Net series", checked by running the original implementation.
"""

from __future__ import annotations

from typing import Any

from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.errors import unknown

_DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 12, 48, 3),
}
_VD: dict[str, Any] = {"stem": "deep", "shortcut": "pool"}
_SE: dict[str, Any] = {"se_reduction": 16}


def _basic(name: str, depth: int, **fields: Any) -> Architecture:
    return Architecture(name=name, block="basic", depths=_DEPTHS[depth], width=64, out_width=64, **fields)


def _bottleneck(name: str, depth: int, width: int = 64, groups: int = 1, **fields: Any) -> Architecture:
    shape: dict[str, Any] = {"depths": _DEPTHS[depth], "width": width, "groups": groups, "out_width": 256}
    return Architecture(name=name, block="bottleneck", **shape, **fields)


def _res2(name: str, depth: int, width: int, scale: int, **fields: Any) -> Architecture:
    shape: dict[str, Any] = {"depths": _DEPTHS[depth], "width": width, "scale": scale, "out_width": 256}
    return Architecture(name=name, block="res2", **shape, **fields)


# He et al. 2018, arXiv:1812.01187 (the "D" variant): what the published figures compare against.
BASELINES = (
    _bottleneck("ResNet50_vd", 50, **_VD),
    _bottleneck("ResNet101_vd", 101, **_VD),
    _bottleneck("ResNet152_vd", 152, **_VD),
    _bottleneck("ResNet200_vd", 200, **_VD),
)

SERIES = (
    # Gao et al. 2019, arXiv:1904.01169
    _res2("Res2Net50_26w_4s", 50, 26, 4),
    _res2("Res2Net50_vd_26w_4s", 50, 26, 4, **_VD),
    _res2("Res2Net50_14w_8s", 50, 14, 8),
    _res2("Res2Net101_vd_26w_4s", 101, 26, 4, **_VD),
    _res2("Res2Net200_vd_26w_4s", 200, 26, 4, **_VD),
    # Xie et al. 2016, arXiv:1611.05431
    _bottleneck("ResNeXt50_32x4d", 50, 4, 32),
    _bottleneck("ResNeXt50_vd_32x4d", 50, 4, 32, **_VD),
    _bottleneck("ResNeXt50_64x4d", 50, 4, 64),
    _bottleneck("ResNeXt50_vd_64x4d", 50, 4, 64, **_VD),
    _bottleneck("ResNeXt101_32x4d", 101, 4, 32),
    _bottleneck("ResNeXt101_vd_32x4d", 101, 4, 32, **_VD),
    _bottleneck("ResNeXt101_64x4d", 101, 4, 64),
    _bottleneck("ResNeXt101_vd_64x4d", 101, 4, 64, **_VD),
    _bottleneck("ResNeXt152_32x4d", 152, 4, 32),
    _bottleneck("ResNeXt152_vd_32x4d", 152, 4, 32, **_VD),
    _bottleneck("ResNeXt152_64x4d", 152, 4, 64),
    _bottleneck("ResNeXt152_vd_64x4d", 152, 4, 64, **_VD),
    # Hu et al. 2017, arXiv:1709.01507
    _basic("SE_ResNet18_vd", 18, **_SE, **_VD),
    _basic("SE_ResNet34_vd", 34, **_SE, **_VD),
    _bottleneck("SE_ResNet50_vd", 50, **_SE, **_VD),
    _bottleneck("SE_ResNeXt50_32x4d", 50, 4, 32, **_SE),
    _bottleneck("SE_ResNeXt50_vd_32x4d", 50, 4, 32, stem_width=128, **_SE, **_VD),
    _bottleneck("SE_ResNeXt101_32x4d", 101, 4, 32, **_SE),
    # Not the SENet154 of the paper or of timm: a ResNeXt152_vd_64x4d with gates and a wider stem.
    _bottleneck("SENet154_vd", 152, 4, 64, stem_width=128, **_SE, **_VD),
)

CATALOG = {row.name: row for row in SERIES + BASELINES}
NETWORKS = CATALOG | SIBLINGS
FAMILIES = ("Res2Net", "ResNeXt", "SENet", "ResNet")

_BY_LOWERED_NAME = {name.lower(): row for name, row in NETWORKS.items()}
_SEE = f"resnexus list ({len(CATALOG)}) and resnexus.list_models('*_small') ({len(SIBLINGS)})"


def architecture(model: str | Architecture) -> Architecture:
    """Return the row called `model`: of the series, a baseline or a small sibling; a row is returned as it is.

    This is the one place where a name becomes a row; everything below is given rows.

    Args:
        model: a name, upper and lower case are the same; or a row.

    Raises:
        ResnexusError: no row is called that; the message names the nearest.
    """
    if isinstance(model, Architecture):
        return model
    row = _BY_LOWERED_NAME.get(str(model).lower())
    if row is None:
        raise unknown("architecture", model, NETWORKS, see=_SEE)
    return row
