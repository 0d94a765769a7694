import pytest
from PIL import Image

from resnexus.data import jpeg, resizing
from studies.loading import OURS, TORCHVISION, WITHOUT, photographs, summary, turns, without_the_extra


def test_the_ratio_is_formed_within_a_turn():
    found = summary({OURS: [20.0, 60.0, 90.0], TORCHVISION: [10.0, 20.0, 30.0]})
    assert found[OURS] == {
        "images_per_s": 60.0,
        "images_per_s_range": [20.0, 90.0],
        "ratio": 3.0,
        "ratio_range": [2.0, 3.0],
    }
    assert found[TORCHVISION]["ratio_range"] == [1.0, 1.0]


def test_every_pipeline_has_its_turns(tmp_path):
    pytest.importorskip("sklearn", reason="the photographs come with scikit-learn")
    paths = photographs(tmp_path, 3)
    with Image.open(paths[2]) as image:
        assert (image.size, image.format) == ((500, 375), "JPEG")
    rates = turns(paths, processes=1, rounds=2)
    assert list(rates) == [OURS, WITHOUT, TORCHVISION]
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())


def test_the_pipeline_without_the_extra_uses_neither_library():
    with without_the_extra():
        assert jpeg._simplejpeg() is resizing._opencv() is None
    assert resizing._opencv() is not None
