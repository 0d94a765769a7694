"""A moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """average = decay average + (1 - decay) weights, after every step; Polyak and Juditsky 1992, with a decay.

    Floating-point parameters and buffers, the running statistics among them, are averaged; counters are copied.

    Args:
        network: whose weights are followed, beginning with those that it has now.
        decay: from 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the weights of a network after a step."""
        for name, value in network.state_dict().items():
            own = self._state[name] = self._state[name].to(value.device)
            if value.is_floating_point():
                own.lerp_(value, 1 - self.decay)
            else:
                own.copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages, under the names of the network's own state."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from averages that `state_dict` returned."""
        self._state = {name: value.clone() for name, value in state.items()}

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Let a network have the averages meanwhile; afterwards it has its own weights again, whatever happens."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self._state)
        try:
            yield
        finally:
            network.load_state_dict(own)
