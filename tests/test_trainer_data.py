"""What a training is told of its data before the first step."""

import pytest
from PIL import Image

from resnexus.trainer import open_data
from resnexus.training.recipe import Recipe


@pytest.fixture
def folder(tmp_path):
    """Two classes of five pictures each, undivided, and a file that is no picture."""
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8)).save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "data" / "a" / "5.heic").touch()
    return tmp_path / "data"


def test_how_a_folder_was_divided_and_what_is_ignored_is_said(folder, recorded):
    splits = open_data(folder, Recipe(), recorded)
    assert recorded.said == list(splits.remarks)
    divided, ignored = recorded.said
    assert divided == "no train/ and val/ in it: 20% of every class, drawn at random with seed 0, validate"
    assert ignored.startswith("ignored 1 .heic; images are in class folders and end in ")
    assert len(open_data(folder, Recipe()).train) == 8  # silently


def test_of_others_there_is_nothing_to_say(recorded):
    assert open_data("digits", Recipe(), recorded).remarks == ()
    assert recorded.said == []
