"""What is to be known of a library's graphs to quantise them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from resnexus.architectures.network import Network

Array = np.ndarray[Any, np.dtype[Any]]


class Form(ABC):
    """One library's graphs; what a model is, its format says.

    Attributes:
        format: name of the format of its artefacts.
        engine: what runs them, as records of latency call it.
        packages: what must be installed to quantise, besides what the format needs.
    """

    format: str
    engine: str
    packages: tuple[str, ...] = ("nncf",)

    @abstractmethod
    def weights(self, model: Any) -> dict[str, Array]:
        """Return operation -> its constant weights, of the convolutions and matrix products of a float32 model."""

    @abstractmethod
    def quantised(self, model: Any, images: Tensor, left_alone: Sequence[str]) -> Any:
        """Return a quantised copy, for batches of any size.

        Args:
            model: in float32.
            images: (K, C, H, W) float32, to calibrate with.
            left_alone: names of operations that stay in float32, besides those of the gates.
        """

    @abstractmethod
    def in_int8(self, model: Any) -> frozenset[str]:
        """Return the names of the operations of a quantised model whose weights it holds in int8."""

    @abstractmethod
    def half(self, path: Path, network: Network) -> Callable[[Array], object]:
        """Return what runs the network in bfloat16.

        Args:
            path: the artefact in float32.
            network: the network that it was made of.

        Raises:
            ResnexusError: this library has no bfloat16 on this machine.
        """
