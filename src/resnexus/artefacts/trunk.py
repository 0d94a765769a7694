"""A network as far as its feature maps, for an artefact that gives these and no scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from resnexus.architectures.features import resolved_indices
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.subject import Subject


def trunk(network: Network | FeatureNetwork, maps: Sequence[int], output_stride: int | None = None) -> Network:
    """Return what of a network its feature maps need, as a network without classes, in evaluation mode.

    Args:
        network: it and what is returned have the same weights, not copies.
        maps: by number, 0 the stem's; none of them negative.
        output_stride: as for `create_model`; that of `network` if None.

    Raises:
        ResnexusError: an output stride that is not accepted.
    """
    with torch.device("meta"):
        found = Network(
            network.architecture,
            num_classes=0,
            in_chans=network.in_chans,
            output_stride=network.output_stride if output_stride is None else output_stride,
        )
    found.stages = found.stages[: max(maps)]
    state = network.state_dict()
    found.load_state_dict({name: state[name] for name in found.state_dict()}, assign=True)
    found.record = network.record
    return found.eval()


def with_maps(
    subject: Subject, out_indices: Sequence[int], output_stride: int | None
) -> tuple[Subject, tuple[int, ...]]:
    """Return a subject whose network ends at the last of some feature maps and names no class, and the maps.

    Args:
        subject: with any network of ours.
        out_indices: numbers of the maps; negative ones count from the last.
        output_stride: as for `trunk`.

    Returns:
        The subject, and the numbers in the order given, none of them negative.

    Raises:
        ResnexusError: no such map, twice the same, or an output stride that is not accepted.
    """
    maps = resolved_indices(out_indices, len(subject.network.architecture.depths) + 1)
    return replace(subject, network=trunk(subject.network, maps, output_stride), classes=None), maps
