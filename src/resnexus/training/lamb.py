"""LAMB: AdamW whose step in every layer is as long as a fraction of the layer's weights. You et al. 2019."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments, You et al. 2019, arXiv:1904.00962, algorithm 2, with corrected bias.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, r = m' / (sqrt(v') + eps) + decay w, with m' and v' divided by
    1 - b^t; then w = w - lr (|w| / |r|) r. The trust ratio |w| / |r| is 1 where either is 0, and in groups without
    decay, as in the recipes that use it (normalisations and biases).

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        betas: b1 and b2.
        eps: see above.
        weight_decay: decoupled.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; return what `closure`, which computes the gradients anew, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        if gradient is None:
            return
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        (first, second), count = group["betas"], int(state["step"])
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        mean, square = state["mean"] / (1 - first**count), state["square"] / (1 - second**count)
        update = mean / (square.sqrt() + group["eps"])
        if group["weight_decay"]:
            update = update.add(parameter, alpha=group["weight_decay"])
            weights, length = parameter.norm(), update.norm()
            update = update * torch.where((weights > 0) & (length > 0), weights / length, 1.0)
        parameter.add_(update, alpha=-group["lr"])
