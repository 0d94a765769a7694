import json

import pytest
import torch

from resnexus.errors import ResnexusError
from resnexus.evaluation.real_labels import read_real, real_accuracy

REAL = (frozenset({0}), frozenset({1, 2}), frozenset(), frozenset({2}))


def names(*numbers):
    return [f"val/n0{number}/ILSVRC2012_val_{number:08}.JPEG" for number in numbers]


def test_any_class_that_is_in_the_picture_is_right():
    """Answers 0, 2, 1, 1 for images 1, 2, 3, 4: image 3 has no class and does not count."""
    logits = torch.eye(3)[[0, 2, 1, 1]]
    found = real_accuracy(logits, names(1, 2, 3, 4), REAL)
    assert (found.right, found.images) == (2, 3)
    assert real_accuracy(logits[[3, 1]], names(4, 2), REAL).right == 1


@pytest.mark.parametrize("name", ["cat.jpg", "ILSVRC2012_val_00000005.JPEG", "ILSVRC2012_val_00000000.JPEG"])
def test_files_without_a_number_of_the_list(name):
    with pytest.raises(
        ResnexusError, match=rf"{name}: the ReaL labels are for files .*00000001.JPEG to ILSVRC2012_val_00000004.JPEG"
    ):
        real_accuracy(torch.eye(3)[:1], [name], REAL)


def test_no_image_that_counts():
    with pytest.raises(ResnexusError, match="none of the 1 images has a ReaL label"):
        real_accuracy(torch.eye(3)[:1], names(3), REAL)


def test_the_file_is_read(tmp_path):
    path = tmp_path / "real.json"
    path.write_text(json.dumps([[0], [1, 2], [], [2]]))
    assert read_real(path) == REAL


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "expected a list, found an object"),
        ("null", "expected a list, found null"),
        ("[[0], 1]", "expected a list, found 1"),
        ("[[1000]]", "1000 is no class"),
        ("[[-1]]", "-1 is no class"),
        ("[[true]]", "expected a whole number, found true"),
        ("[[0.0]]", "expected a whole number, found 0.0"),
        ("[" * 100_000, "it is nested too deeply"),
        ("nonsense", "is not JSON"),
    ],
)
def test_other_files_are_refused(tmp_path, text, problem):
    path = tmp_path / "real.json"
    path.write_text(text)
    with pytest.raises(ResnexusError, match=rf"the ReaL labels: .*real\.json.*{problem}.*; expected the list of real"):
        read_real(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ResnexusError, match=r"the ReaL labels: cannot read .*real\.json: No such file"):
        read_real(tmp_path / "real.json")
