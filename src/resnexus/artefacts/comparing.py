"""How closely an artefact answers as its network does, on pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.activation import class_activation
from resnexus.architectures.network import Network
from resnexus.artefacts.artefact import Artefact
from resnexus.artefacts.graph import feature_maps_of, scores
from resnexus.artefacts.photographs import photographs
from resnexus.artefacts.record import HEATMAP, MULTIPLE, ArtefactRecord
from resnexus.data.preprocess import AnyImage
from resnexus.parity.agreement import FLOAT32_TOLERANCE, agreement, map_agreement

Array = np.ndarray[Any, np.dtype[Any]]


@torch.inference_mode()
def compared(
    network: Network, artefact: Artefact, tolerance: float = FLOAT32_TOLERANCE, pictures: Sequence[AnyImage] = ()
) -> ArtefactRecord:
    """Return an artefact's record with the agreement between it and the network that it was made from.

    The network gets the pictures as `Preprocess` prepares them; the artefact gets of each what its interface asks
    for. Probabilities are compared with those of the network's logits. The agreement of feature maps is that at the
    image size where it is worse.

    Args:
        network: plain, in evaluation mode, float32.
        artefact: opened.
        tolerance: for the record.
        pictures: to compare on; the photographs that come with the package if empty.
    """
    interface = artefact.record.interface
    if interface.maps:
        return _compared_maps(network, artefact, tolerance, pictures)
    wanted, found, wanted_maps, found_maps = [], [], [], []
    for images, batches in _cases(artefact, pictures or photographs()):
        features = network.forward_features(images)
        logits = network.forward_head(features)
        outputs = [artefact.outputs(batch) for batch in batches]
        wanted.append(scores(logits, interface))
        found += [torch.from_numpy(output[interface.scores]) for output in outputs]
        if interface.heatmap:
            wanted_maps.append(class_activation(features, logits, network.get_parameter("head.weight"))[:, None])
            found_maps.append(torch.cat([torch.from_numpy(output[HEATMAP]) for output in outputs])[:, None])
    number = len(network.stages)
    return replace(
        artefact.record,
        agreement=agreement(torch.cat(wanted), torch.cat(found)),
        heatmap_agreement=map_agreement([number] * len(wanted_maps), wanted_maps, found_maps) if found_maps else None,
        pictures=sum(map(len, wanted)),
        tolerance=tolerance,
    )


def _compared_maps(
    network: Network, artefact: Artefact, tolerance: float, pictures: Sequence[AnyImage]
) -> ArtefactRecord:
    interface, agreements, count = artefact.record.interface, [], 0
    for images, batches in _cases(artefact, pictures or photographs()):
        outputs = [artefact.outputs(batch) for batch in batches]
        found = [torch.cat([torch.from_numpy(output[name]) for output in outputs]) for name in interface.outputs]
        agreements.append(map_agreement(interface.maps, feature_maps_of(network, images, interface), found))
        count += len(images)
    worst = max(agreements, key=lambda entry: (isnan(entry.max_rel), entry.max_rel))
    return replace(artefact.record, agreement=worst, pictures=count, tolerance=tolerance)


def _cases(artefact: Artefact, pictures: Sequence[AnyImage]) -> Iterator[tuple[Tensor, list[Array]]]:
    """Yield images for the network and the same for the artefact, in batches of one and of more where it takes them."""
    record = artefact.record
    images = torch.stack([record.preprocess(picture) for picture in pictures])
    given = [artefact.prepare(picture) for picture in pictures]
    single = record.interface.one_at_a_time
    yield images, given if single or len(given) == 1 else [given[0], np.concatenate(given[1:])]
    if record.interface.sizes != "fixed":  # and one that is not square
        across = 3 if record.interface.included == "none" else 2
        wide = [np.concatenate([one, one.take(range(MULTIPLE), axis=across)], axis=across) for one in given]
        yield torch.cat([images, images[..., :MULTIPLE]], dim=3), wide if single else [np.concatenate(wide)]
