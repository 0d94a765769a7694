"""Folders of ImageNet and its relatives, recognised by their names."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from resnexus.errors import ResnexusError
from resnexus.series.imagenet import imagenet_classes
from resnexus.series.imagenet_sets import imagenet_wnids, label, subset

CLASSES = imagenet_classes()
WNIDS = imagenet_wnids()


def folders(name):
    return [WNIDS[number] for number in subset(name)]


def test_the_numbers_are_those_of_timm():
    """Read from its files: to import it takes seconds."""
    spec = find_spec("timm")
    if spec is None:
        pytest.skip("timm's lists are not installed")
    lists = Path(spec.origin).parent / "data" / "_info"
    assert list(WNIDS) == (lists / "imagenet_synsets.txt").read_text().split()
    for name in ("imagenet-a", "imagenet-r"):
        theirs = (lists / f"{name.replace('-', '_')}_synsets.txt").read_text().split()
        assert folders(name) == theirs


@pytest.mark.parametrize("name", ["imagenet-a", "imagenet-r"])
def test_the_subsets_are_200_rising_classes(name):
    found = subset(name)
    assert len(found) == 200
    assert sorted(set(found)) == list(found)
    assert 0 <= found[0] < found[-1] <= 999


def test_their_first_classes():
    """stingray, goldfinch, junco, robin of A; goldfish, great white shark, hammerhead of R."""
    assert [CLASSES[number] for number in subset("imagenet-a")[:4]] == ["stingray", "goldfinch", "junco", "robin"]
    assert [CLASSES[number] for number in subset("imagenet-r")[:3]] == [
        "goldfish",
        "great white shark",
        "hammerhead",
    ]


@pytest.mark.parametrize(
    ("names", "images", "naming", "competing"),
    [
        (WNIDS, ["ILSVRC2012_val_00000001.JPEG"], "wnid", 1000),
        (WNIDS, ["sketch_1.JPEG", "sketch_7.JPEG"], "imagenet-sketch", 1000),
        (folders("imagenet-a"), [], "imagenet-a", 200),
        (folders("imagenet-r"), [], "imagenet-r", 200),
        (folders("imagenet-r")[1:], [], "wnid", 1000),
        ([str(number) for number in range(1000)], [], "imagenet-v2", 1000),
        (CLASSES[5:9], [], "names", 1000),
    ],
)
def test_folders_are_recognised(names, images, naming, competing):
    found = label(names, CLASSES, images=images)
    assert found.naming.name == naming
    assert len(found.competing) == competing
    assert found.imagenet
    assert all(target in found.competing for target in found.targets)


def test_targets_are_the_outputs_of_the_folders():
    assert label(["n01443537", "n01440764"], CLASSES).targets == (1, 0)
    assert label(["7", "10", "3"], CLASSES).targets == (7, 10, 3)
    found = label(["dog", "cat"], ("cat", "cow", "dog"))
    assert (found.targets, found.competing, found.imagenet) == ((2, 0), (0, 1, 2), False)
    assert label(["2", "0"], ("cat", "cow", "dog"), "index").targets == (2, 0)


def test_what_is_said_to_be_a_subset_restricts_the_answers():
    assert label(folders("imagenet-a")[:2], CLASSES, "imagenet-a").competing == subset("imagenet-a")


@pytest.mark.parametrize(
    ("names", "classes", "labels", "message"),
    [
        (
            ["cat", "dgo"],
            ("cat", "dog"),
            None,
            "1 of 2 class folders are no classes of this network, the first is 'dgo'",
        ),
        (["n00000000"], CLASSES, "wnid", "such as 'n01440764', 'n01443537'"),
        ([WNIDS[0], "cats"], CLASSES, None, "the first is 'cats': expected folders called by WordNet numbers"),
        ([WNIDS[0]], CLASSES, "imagenet-r", "the first is 'n01440764': expected ImageNet-R"),
        (["cat"], ("cat", "dog"), "imagenet-v2", "labels='imagenet-v2' are ImageNet's classes, and this network has 2"),
        (["cat"], ("cat", "dog"), "imagenet_a", "unknown labels 'imagenet_a': did you mean 'imagenet-a'"),
    ],
)
def test_folders_that_are_no_classes(names, classes, labels, message):
    with pytest.raises(ResnexusError, match=message):
        label(names, classes, labels)
