"""Feature maps, plain and dilated, beside the original's recorded stages."""

import pytest
import torch

from resnexus import ResnexusError, architecture
from resnexus.parity.golden import golden_features
from resnexus.parity.maps import verify_maps

SMALL = [(97, 131)]
NAME = "SE_ResNet18_vd"


def test_every_map_is_the_originals_stage():
    checks = verify_maps(NAME, (4, 1, 2, 3), image_sizes=SMALL)
    assert [check.index for check in checks] == [4, 1, 2, 3]
    assert all(check.passed and check.difference < 1e-11 for check in checks)
    (check,) = verify_maps(NAME, (2,), dtype=torch.float32, image_sizes=SMALL)
    assert (check.passed, check.tolerance, check.dtype, check.image_size) == (True, 1e-4, "float32", (97, 131))


@pytest.mark.thorough
def test_a_dilated_network_is_the_originals_where_both_have_a_pixel():
    checks = verify_maps("Res2Net50_26w_4s", (3, 4), 8, image_sizes=SMALL)
    assert all(check.passed and check.difference < 1e-11 for check in checks)


def test_a_map_that_is_off_is_the_one_that_fails():
    network = golden_features(architecture(NAME), (1, 3), dtype=torch.float64)

    def wrong(images):
        first, third = network(images)
        return [first, 1.001 * third]

    first, third = verify_maps(NAME, (1, 3), candidate=wrong, image_sizes=SMALL)
    assert (first.passed, third.passed) == (True, False)
    assert third.difference == pytest.approx(1e-3, rel=0.5)
    (nan,) = verify_maps(NAME, (1,), candidate=lambda images: [torch.nan * network(images)[0]], image_sizes=SMALL)
    assert not nan.passed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAME, (0, 1)), "map 0: the original recorded its stages, maps 1 to 4"),
        ((NAME, (5,)), "expected maps from 0, the stem, to 4"),
        ((NAME, (4,), 8), "SE_ResNet18_vd with output_stride=8 cannot be compared with the original: a gate is a mean"),
        (("Res2Net50_26w_4s", (4,), 5), "output_stride=5: expected one of"),
        (("ResNet50_vd",), "no golden logits for 'ResNet50_vd'"),
        ((NAME, (1,), None, lambda images: [images]), r"map 1 is \(2, 3, 97, 131\) where the original's is \(2, 64,"),
        ((NAME, (1,), None, lambda images: []), "expected maps 1, found 0"),
    ],
)
def test_what_cannot_be_compared(arguments, message):
    with pytest.raises(ResnexusError, match=message):
        verify_maps(*arguments, image_sizes=SMALL)
