"""What a training is told of its data before the first step."""

import pytest
from PIL import Image

import resnexus
from resnexus import ResnexusError
from resnexus.training.preparation import check_changes, open_data
from resnexus.training.recipe import SETTINGS, Recipe


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


def test_embedded_images_say_that_they_have_a_preparation_of_their_own(recorded):
    assert open_data("digits", Recipe(), recorded).remarks == ()
    assert recorded.said == [
        "digits: images of 8x8 pixels, shifted by up to 1 at random; of the recipe's settings of images, repeats alone "
        "counts"
    ]


def test_embedded_images_are_not_fetched():
    with pytest.raises(ResnexusError, match="download has no effect on digits: only CIFAR is fetched"):
        open_data("digits", Recipe(), download=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image_size": 64}, "image_size=64"),
        ({"images.eval_size": 64}, "eval_size=64"),
        ({"images": {"flip": 0.0}}, "flip=0.0"),
        ({"epochs": 2, "policy": "rand_augment"}, "policy=rand_augment"),
    ],
)
def test_a_change_that_embedded_images_do_not_take_is_refused(tmp_path, change, named):
    with pytest.raises(ResnexusError) as refused:
        resnexus.train("ResNet_small", "digits", out=tmp_path / "run", changes=change, device="cpu")
    assert str(refused.value) == (
        f"{named} has no effect on 'digits': images of 8x8 pixels, shifted by up to 1 at random; leave it out. Of the "
        "settings of images, repeats is for these, too; the others are for images in files"
    )
    assert not (tmp_path / "run").exists()


def test_other_changes_are_taken_and_those_of_files_are_for_files(folder):
    taken = {name: value for name, value in Recipe().flat().items() if SETTINGS[name] != "images"}
    check_changes(taken | {"repeats": 3}, "digits")
    check_changes({"image_size": 64}, folder)
    with pytest.raises(ResnexusError, match="did you mean 'image_size'"):
        check_changes({"image_sise": 64}, folder)
