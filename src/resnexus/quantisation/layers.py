"""The layers of a network that could compute in int8, and which operation of a graph each of them became."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from resnexus.architectures.network import Network
from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]

_HEAD = "head"


@dataclass(frozen=True, kw_only=True)
class QuantisableLayer:
    """A convolution or a linear layer.

    Attributes:
        name: of its module.
        gate: whether it is part of a squeeze-and-excitation gate: every linear layer but the last is.
    """

    name: str
    gate: bool


def layers_of(network: Network) -> tuple[QuantisableLayer, ...]:
    """Return the convolutions and linear layers of a network, which may be rewritten, in the order of its modules."""
    return tuple(
        QuantisableLayer(name=name, gate=isinstance(module, nn.Linear) and name != _HEAD)
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    )


def operations_of(network: Network, layers: Sequence[QuantisableLayer], weights: Mapping[str, Array]) -> dict[str, str]:
    """Return layer -> name of its operation in a graph that was made of the network.

    They are told by their weights, which a graph has as they are, in another shape or transposed. Layers with equal
    weights are taken in their order: each of them is as good for any of those operations.

    Args:
        network: rewritten as it was for the graph.
        layers: of the network.
        weights: operation -> its constant weights.

    Raises:
        ResnexusError: a layer is not in the graph.
    """
    by_content: dict[str, list[str]] = defaultdict(list)
    for operation, array in weights.items():
        for digest in {_digest(array), _digest(array.T if array.ndim == 2 else array)}:
            by_content[digest].append(operation)
    found: dict[str, str] = {}
    for layer in layers:
        weight = network.get_parameter(f"{layer.name}.weight").detach().numpy()
        free = [name for name in by_content[_digest(weight)] if name not in found.values()]
        if not free:
            raise ResnexusError(f"no operation of the graph has the weights of {layer.name}: it cannot be followed")
        found[layer.name] = free[0]
    return found


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, np.float32).tobytes()).hexdigest()
