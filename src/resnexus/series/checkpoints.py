"""The 27 published checkpoints of the series.

A row of `architectures.catalog` says what a network is; a record here says what was trained, by whom, and how good
it is said to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from resnexus.data.preprocess import Preprocess
from resnexus.series.imagenet import imagenet_classes
from resnexus.series.published import Published, checkpoint_entries, figures
from resnexus.series.recipes import find_recipe
from resnexus.training.recipe import Recipe

BASE_URL = "https://paddle-imagenet-models-name.bj.bcebos.com/"
TAGS = ("imagenet", "ssld")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One published file of weights.

    Attributes:
        name: as published, e.g. `"Res2Net50_vd_26w_4s_ssld"`.
        architecture: the row it belongs to.
        tag: `"imagenet"` or `"ssld"` (semi-supervised label distillation).
        url: where it was published.
        licence: SPDX identifier of the upstream project.
        published: its row of the page.
        classes: what the logits stand for, in their order.
        preprocess: how its images are to be prepared.
        sha256: of the published file; None, since no hash was published.
    """

    name: str
    architecture: str
    tag: str
    url: str
    licence: str
    published: Published
    classes: tuple[str, ...]
    preprocess: Preprocess
    sha256: str | None = None

    @property
    def recipe(self) -> Recipe | None:
        """How it was trained; None where that was not published whole."""
        return None if self.tag == "ssld" else find_recipe(self.name)


@cache
def checkpoints() -> dict[str, Checkpoint]:
    """Return the 27 checkpoints by published name, in the order of the page."""
    return {entry["checkpoint"]: _checkpoint(entry) for entry in checkpoint_entries()}


def tags(architecture: str) -> dict[str, Checkpoint]:
    """Return the checkpoints of one network by tag; empty for a baseline."""
    return {record.tag: record for record in checkpoints().values() if record.architecture == architecture}


def _checkpoint(entry: dict[str, Any]) -> Checkpoint:
    name, architecture = entry["checkpoint"], entry["architecture"]
    ssld = name.endswith("_ssld")
    return Checkpoint(
        name=name,
        architecture=architecture,
        tag="ssld" if ssld else "imagenet",
        url=BASE_URL + entry["url_path"],
        licence="Apache-2.0",
        published=figures(entry),
        classes=imagenet_classes(),
        preprocess=Preprocess(),
    )
