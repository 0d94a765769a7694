"""Every kernel, interpreted on the CPU, against float64."""

from collections import Counter

import pytest
import torch
from judging import apart, judge, wrong, wrong_rows
from occurring import asked

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels.settings import Product, Tile
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.spec import Architecture

POOLS = ("average_pool_2x2", "average_pool_3x3", "max_pool_3x3")
ODD = {"channels": 13, "size": (3, 5), "x_around": (5, 2)}
"""Fewer channels than any tile, odd sizes, and channels of others before and after."""
FEW = {"size": (2, 3)}
SMALL = Product(pixels=16, outputs=16, depth=16)
CUT = Product(pixels=16, outputs=16, depth=16, splits=2)
PACK = Product(pixels=16, outputs=32, depth=32)

CASES = {
    **{name: (name, {}) for name in POOLS},
    **{f"{name}, odd": (name, ODD | {"out_around": (3, 4)}) for name in POOLS},
    "average_pool_3x3, all taps count": ("average_pool_3x3", {"counts_padding": True}),
    "average_pool_3x3, stride 1": ("average_pool_3x3", ODD | {"stride": 1}),
    "max_pool_3x3, one pixel": ("max_pool_3x3", {"size": (1, 1)}),
    "mean": ("mean", {}),
    "mean, odd": ("mean", ODD),
    "mean_linear": ("mean_linear", {}),
    "mean_linear, cut": ("mean_linear", {"settings": CUT, "images": 3, "out_dtype": "float32"}),
    "excite": ("excite", {}),
    "excite, odd": ("excite", ODD | {"gates": 21, "settings": Tile(pixels=4, channels=8, splits=3)}),
    "excite, many squeezed": ("excite", {"channels": 8, "hidden": 67, "size": (2, 2)}),
    "apply": ("apply", {}),
    "apply, odd": ("apply", ODD | {"out_around": (3, 4)}),
    "conv1x1": ("conv1x1", {}),
    "conv1x1, nothing after it": ("conv1x1", {"relu": False, "bias": False}),
    "conv1x1, everything after it": ("conv1x1", {"residual": True, "gated": True, "settings": SMALL}),
    "conv1x1, odd": ("conv1x1", ODD | {"outputs": 19, "out_around": (3, 4), "stride": 2, "settings": SMALL}),
    "conv1x1, cut": ("conv1x1", {"residual": True, "gated": True, "stride": 2, "settings": CUT}),
    "conv1x1, written twice": ("conv1x1", {"outputs": 39, "copied": 13, "out_around": (3, 4), "settings": SMALL}),
    "conv1x1, cut and written twice": ("conv1x1", {"copied": 10, "settings": CUT}),
    "res2_conv3x3": ("res2_conv3x3", {}),
    "res2_conv3x3, between slices": (
        "res2_conv3x3",
        FEW | {"addend": True, "x_around": (26, 52), "addend_around": (0, 78), "out_around": (26, 52)},
    ),
    "res2_conv3x3, odd": ("res2_conv3x3", ODD | {"outputs": 19, "stride": 2, "residual": True, "settings": SMALL}),
    "res2_conv3x3, groups": ("res2_conv3x3", FEW | {"channels": 64, "groups": 2, "settings": PACK}),
    "res2_conv3x3, narrow groups": ("res2_conv3x3", {"groups": 2, "relu": False}),
    "res2_conv3x3, cut": (
        "res2_conv3x3",
        FEW | {"addend": True, "settings": Product(pixels=16, outputs=32, depth=16, splits=6)},
    ),
    "res2_block": ("res2_block", {}),
    "grouped_conv3x3": ("grouped_conv3x3", {}),
    "grouped_conv3x3, narrow packs": (
        "grouped_conv3x3",
        {"pack": 16, "stride": 2, "size": (3, 5), "settings": Product(pixels=32, outputs=16, depth=16)},
    ),
    "grouped_conv3x3, wide groups": ("grouped_conv3x3", FEW | {"groups": 2, "settings": PACK}),
    "grouped_conv3x3, cut": ("grouped_conv3x3", FEW | {"settings": Product(pixels=16, outputs=32, depth=32, splits=3)}),
    "grouped_conv3x3_conv1x1": ("grouped_conv3x3_conv1x1", {}),
    "grouped_conv3x3_conv1x1, odd": (
        "grouped_conv3x3_conv1x1",
        {"pack": 16, "outputs": 19, "stride": 2, "size": (3, 5), "residual": False, "relu": False, "settings": SMALL},
    ),
    "stem_conv": ("stem_conv", {}),
    "stem_conv, 7x7": ("stem_conv", {"kernel": 7, "outputs": 64}),
    "stem_conv, small": ("stem_conv", {"stride": 1, "outputs": 13, "size": (3, 2), "x_around": (0, 1)}),
    **{
        f"{name}, {side}x{side}": (name, options | {"size": (side, side), "images": 1})
        for name, side, options in (
            ("average_pool_2x2", 14, {"channels": 8}),
            ("conv1x1", 14, {"channels": 64, "outputs": 32, "stride": 2}),
            ("conv1x1", 7, {"channels": 32, "outputs": 128, "residual": True}),
            ("grouped_conv3x3", 14, {"stride": 2}),
            ("res2_conv3x3", 7, {"channels": 32, "addend": True, "x_around": (32, 64), "addend_around": (0, 96)}),
        )
    },
    "normalise": ("normalise", {}),
    "normalise, room for more": ("normalise", {"out_around": (0, 5), "settings": Tile(pixels=16, channels=1)}),
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_compute_what_they_should_and_nothing_else(interpreted, case):
    name, options = CASES[case]
    found = interpreted(judge, name, **options)
    assert found.right, found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", sorted({name for name, _ in CASES.values()}))
def test_other_dtypes(interpreted, name, dtype):
    found = interpreted(judge, name, dtype=dtype)
    assert found.right, found


@pytest.mark.parametrize("case", [*(case for case in CASES if "," not in case and case != "normalise"), "conv1x1, cut"])
def test_images_and_pixels_stay_apart(interpreted, case):
    name, options = CASES[case]
    found = interpreted(apart, name, **options)
    assert found.image_holds, found
    assert found.nowhere_else, found


@pytest.mark.parametrize("kernel", [1, 5, 9])
def test_a_stem_of_another_size_is_refused_by_name(kernel):
    stem = pytest.importorskip("resnexus.acceleration.cuda.kernels.stem")
    x, weight, out = (torch.zeros(shape) for shape in ((1, 3, 8, 8), (4, 3, kernel, kernel), (1, 4, 4, 4)))
    with pytest.raises(BackendError, match=f"a stem's window of {kernel}x{kernel}: expected 3x3 or 7x7"):
        stem.convolve(x, weight, None, out)


# What any row of a table can be tried on in a moment.
ROWS = {
    "average_pool_2x2": {"size": (3, 3)},
    "max_pool_3x3": {"size": (3, 3)},
    "mean": {"size": (3, 3)},
    "mean_linear": {"channels": 130, "outputs": 5, "size": (1, 2)},
    "excite": {"size": (3, 3)},
    "apply": {"size": (3, 3)},
    "conv1x1": {"channels": 70, "outputs": 10, "size": (2, 3)},
    "res2_conv3x3": {"channels": 14, "size": (2, 3), "addend": True},
    "grouped_conv3x3_conv1x1": {"channels": 32, "groups": 8, "size": (2, 2)},
    "stem_conv": {"size": (3, 4)},
    "normalise": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_tables(interpreted, name):
    rows, found = interpreted(wrong_rows, name, **ROWS[name])
    assert rows > 3
    assert found == []


@pytest.mark.thorough
def test_what_small_networks_ask_for(interpreted):
    shape = {"depths": (2,), "out_width": 32, "stem": "deep", "stem_width": 16}
    rows = [
        Architecture(name="split", block="res2", width=6, scale=3, **shape),
        Architecture(name="gated", block="bottleneck", width=4, groups=8, se_reduction=4, **shape),
    ]
    launches = asked(rows)
    names = Counter(name for name, _ in launches)
    assert {options["copied"] for name, options in launches if name == "conv1x1"} == {0, 6, 8, 16}
    assert names.keys() >= {"excite", "apply", "conv1x1", "res2_conv3x3", "grouped_conv3x3_conv1x1", "max_pool_3x3"}
    assert interpreted(wrong, launches) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_all_networks_ask_for(interpreted):
    launches = asked(CATALOG.values())
    assert len(launches) > 100
    assert {options["channels"] for name, options in launches if name == "res2_conv3x3"} >= {14, 16, 26, 32, 208, 512}
    assert {options["copied"] for name, options in launches if name == "conv1x1"} >= {0, 14, 16, 26, 32, 208}
    assert interpreted(wrong, launches) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("side", [7, 14, 28, 56])
def test_what_all_networks_ask_for_at_224_pixels(interpreted, side):
    launches = asked(CATALOG.values(), image_size=224)
    sizes = Counter(options["size"] for _, options in launches if "size" in options)
    assert sizes.keys() >= {(7, 7), (14, 14), (28, 28), (56, 56), (112, 112), (224, 224)}
    assert interpreted(wrong, [launch for launch in launches if launch[1].get("size") == (side, side)]) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_what_dilated_networks_ask_for_at_odd_sizes(interpreted, output_stride):
    rows = [CATALOG[name] for name in ("ResNeXt50_32x4d", "Res2Net50_26w_4s", "SE_ResNeXt50_vd_32x4d")]
    launches = asked(rows, image_size=97, output_stride=output_stride)
    assert min(options["size"] for _, options in launches if "size" in options) == (-(-97 // output_stride),) * 2
    assert interpreted(wrong, launches) == []
