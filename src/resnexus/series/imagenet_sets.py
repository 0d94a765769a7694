"""Sets of labelled images for networks of ImageNet's classes: what the names of their class folders mean.

A folder belongs to a class by its name: the class's own, as the network's record has it; its WordNet number, as in
ImageNet and in ImageNet-A (arXiv:1907.07174), -R (arXiv:2006.16241) and -Sketch (arXiv:1905.13549); or its place in the
network's output, as in ImageNet-V2 (arXiv:1902.10811).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from resnexus.errors import ResnexusError, printable, unknown
from resnexus.series.imagenet import imagenet_classes

NAMES, INDEX = "names", "index"
"""Folders called as the classes are, and as their places in the output."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What the class folders of a set are called.

    Attributes:
        name: as `--labels` takes it.
        what: of the set, in a few words.
        subset: the set of 200 classes that it has; None for any classes. Only these compete: the logits of the other
            800 are left out, as the authors of these sets do.
        whole: every image of the folder is for evaluation.
    """

    name: str
    what: str
    subset: str | None = None
    whole: bool = True


NAMINGS = MappingProxyType(
    {
        row.name: row
        for row in (
            Naming(name=NAMES, what="folders called as the network's classes are", whole=False),
            Naming(name="wnid", what="folders called by WordNet numbers, all 1,000 classes compete", whole=False),
            Naming(name=INDEX, what="folders called by the class's place in the output, 0 to 999", whole=False),
            Naming(name="imagenet-v2", what="ImageNet-V2, 1,000 classes, folders 0 to 999"),
            Naming(name="imagenet-a", what="ImageNet-A, its 200 classes compete", subset="imagenet-a"),
            Naming(name="imagenet-r", what="ImageNet-R, its 200 classes compete", subset="imagenet-r"),
            Naming(name="imagenet-sketch", what="ImageNet-Sketch, 1,000 classes"),
        )
    }
)


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """How the class folders of a set become numbers of the network's outputs.

    Attributes:
        naming: what the folders are called.
        targets: number of the output for every folder, in the folders' order.
        competing: the outputs that may be an answer, in their order.
        imagenet: whether the network's classes are ImageNet's.
    """

    naming: Naming
    targets: tuple[int, ...]
    competing: tuple[int, ...]
    imagenet: bool


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """Return the WordNet number of each class of ImageNet-1k, in the order of the logits."""
    return tuple(map(str, _stored()["imagenet"]))


@cache
def subset(name: str) -> tuple[int, ...]:
    """Return the outputs that `"imagenet-a"` or `"imagenet-r"` has classes for, rising."""
    return tuple(map(int, _stored()[name]))


def label(
    folders: Sequence[str], classes: Sequence[str], labels: str | None = None, images: Sequence[str] = ()
) -> Labelling:
    """Find the output of the network that every class folder belongs to.

    Args:
        folders: names of the class folders.
        classes: of the network, in the order of its outputs.
        labels: what the folders are called, one of `NAMINGS`; recognised by the folders' and files' names if None.
        images: names of some of the files, by which ImageNet-Sketch is recognised.

    Raises:
        ResnexusError: an unknown naming, folders that are no classes of the network, or a naming by ImageNet's classes
            for a network of other classes.
    """
    if labels is not None and labels not in NAMINGS:
        raise unknown("labels", labels, NAMINGS)
    imagenet = tuple(classes) == imagenet_classes()
    naming = NAMINGS[labels] if labels is not None else _recognised(folders, classes, images, imagenet)
    known = _known(naming, classes, imagenet)
    missing = [printable(repr(name)) for name in folders if name not in known]
    if missing:
        example = ", ".join(repr(name) for name in list(known)[:3])
        raise ResnexusError(
            f"{len(missing)} of {len(folders)} class folders are no classes of this network, the first is "
            f"{missing[0]}: expected {naming.what}, such as {example}. Name them so, or say "
            "what they are (labels=, --labels)"
        )
    competing = subset(naming.subset) if naming.subset else tuple(range(len(classes)))
    return Labelling(
        naming=naming, targets=tuple(known[name] for name in folders), competing=competing, imagenet=imagenet
    )


def _known(naming: Naming, classes: Sequence[str], imagenet: bool) -> dict[str, int]:
    """Return folder -> output for all folders that a naming has."""
    if naming.name == NAMES:
        return {name: number for number, name in enumerate(classes)}
    if naming.name == INDEX:
        return {str(number): number for number in range(len(classes))}
    if not imagenet:
        raise ResnexusError(
            f"labels={naming.name!r} are ImageNet's classes, and this network has {len(classes)} others; "
            f"use labels={NAMES!r} or {INDEX!r}"
        )
    if naming.name == "imagenet-v2":
        return {str(number): number for number in range(len(classes))}
    wanted = subset(naming.subset) if naming.subset else range(len(classes))
    return {imagenet_wnids()[number]: number for number in wanted}


def _recognised(folders: Sequence[str], classes: Sequence[str], images: Sequence[str], imagenet: bool) -> Naming:
    names = set(folders)
    if not imagenet or names <= set(classes):
        return NAMINGS[NAMES]
    wnids = imagenet_wnids()
    if names <= set(map(str, range(len(wnids)))):
        return NAMINGS["imagenet-v2"]
    if names == set(wnids):
        drawn = bool(images) and all(name.startswith("sketch_") for name in images)
        return NAMINGS["imagenet-sketch" if drawn else "wnid"]
    for name in ("imagenet-a", "imagenet-r"):
        if names == {wnids[number] for number in subset(name)}:
            return NAMINGS[name]
    return NAMINGS["wnid" if names & set(wnids) else NAMES]


@cache
def _stored() -> dict[str, list[str] | list[int]]:
    text = (files("resnexus.series") / "imagenet_wnids.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
