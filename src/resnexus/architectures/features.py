"""Feature maps, numbered as timm numbers them: 0 is the stem, 1 to 4 are the stages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from resnexus.architectures.blocks import Stem
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError


@dataclass(frozen=True)
class Feature:
    """One feature map: its name, channels, image pixels per feature pixel, and the module that makes it."""

    name: str
    num_chs: int
    reduction: int
    module: str


class FeatureInfo(tuple[Feature, ...]):
    """Feature maps in the order in which they are returned, with the accessors that timm's users know."""

    def channels(self) -> list[int]:
        """Channels of every feature map."""
        return [feature.num_chs for feature in self]

    def reduction(self) -> list[int]:
        """Image pixels per feature pixel, of every feature map."""
        return [feature.reduction for feature in self]

    def module_name(self) -> list[str]:
        """Name of the module behind every feature map."""
        return [feature.module for feature in self]


def feature_info(row: Architecture, output_stride: int) -> FeatureInfo:
    """Return all feature maps of a row: the stem's before its max pool, then one per stage."""
    last_conv, reduction = 2 if row.stem == "deep" else 0, 1 if row.stem == "small" else 2
    stem = Feature("stem", row.stem_width, reduction, f"stem.{last_conv}")
    stages = (
        Feature(f"stage{stage}", row.outer_width(stage), min(reduction, output_stride), f"stages.{stage}")
        for stage, reduction in enumerate(row.reductions)
    )
    return FeatureInfo((stem, *stages))


def feature_maps(stem: Stem, stages: Iterable[nn.Module], x: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
    """Run stem and stages and return the maps that are wanted, by number, and the last one."""
    first, x = stem.maps(x)
    found = {0: first} if 0 in wanted else {}
    last = 0
    for last, stage in enumerate(stages, start=1):
        x = stage(x)
        if last in wanted:
            found[last] = x
    found.setdefault(last, x if last else first)
    return found


def flat_children(stem: Stem, stages: Iterable[nn.Module]) -> dict[str, nn.Module]:
    """Return stem, pool (not of a small stem) and stages as the members of one sequence, in the order of running.

    Feature map 0 leaves `"stem"`, the others `"stage0"` to `"stage3"`. Libraries that cut a backbone between its
    children take it so. The modules are the network's own.
    """
    pools = [layer for layer in stem if isinstance(layer, nn.MaxPool2d)]
    children: dict[str, nn.Module] = {"stem": nn.Sequential(*(layer for layer in stem if layer not in pools))}
    if pools:
        children["pool"] = pools[0]
    return children | {f"stage{number}": stage for number, stage in enumerate(stages)}


def resolved_indices(indices: Sequence[int], maps: int) -> tuple[int, ...]:
    """Return numbers of feature maps with those that count from the last resolved, in the order given.

    Raises:
        ResnexusError: none, one that is no map, or twice the same.
    """
    if isinstance(indices, int):
        raise ResnexusError(f"out_indices={indices}: expected a sequence of maps; for that one, ({indices},)")
    resolved = tuple(index + maps if index < 0 else index for index in indices)
    if not resolved or any(not 0 <= index < maps for index in resolved) or len(set(resolved)) < len(resolved):
        raise ResnexusError(
            f"out_indices={tuple(indices)}: expected maps from 0, the stem, to {maps - 1}, the last stage, each at "
            "most once; negative numbers count from the last"
        )
    return resolved
