"""How much a network's answers change when one of its layers alone computes in int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from resnexus.architectures.network import Network
from resnexus.progress import Progress

MOST_IMAGES = 32
"""Calibration images that sensitivities are measured on: a pass over them is made for every layer."""

_SIGNED, _UNSIGNED = 127, 255


@torch.inference_mode()
def sensitivities(network: Network, names: Sequence[str], images: Tensor, progress: Progress) -> dict[str, float]:
    """Measure every layer on its own, in PyTorch, whatever library will run the network.

    The layer's weights and its input are rounded to 8 bits as NNCF does it: weights symmetrically for every output
    channel, the input symmetrically over its largest value, or from 0 on where nothing is negative.

    Args:
        network: float32, in evaluation mode; left as it is.
        names: of convolutions and linear layers.
        images: (N, C, H, W) float32; the first `MOST_IMAGES` are used.
        progress: told of every layer.

    Returns:
        Layer -> mean square of the change of the logits over the mean square of the logits.
    """
    images = images[:MOST_IMAGES]
    layers = {name: network.get_submodule(name) for name in names}
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def seen(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            low[name], high[name] = float(given[0].min()), float(given[0].max())

        return seen

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_pre_hook(watch(name)).remove)
        plain = network(images)
    power = float(plain.square().mean()) or 1.0
    found = {}
    with progress.stage("measuring how sensitive the layers are", len(layers)) as step:
        for name, layer in layers.items():
            with _rounded(layer, low[name], high[name]):
                found[name] = float((network(images) - plain).square().mean()) / power
            step()
    return found


@contextmanager
def _rounded(layer: nn.Module, low: float, high: float) -> Iterator[None]:
    """Let a layer compute with rounded weights and a rounded input, as long as the context lasts."""

    def prepare(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Any, ...]:
        return (_rounded_input(given[0], low, high), *given[1:])

    weight = layer.get_parameter("weight")
    kept, hook = weight.data, layer.register_forward_pre_hook(prepare)
    weight.data = rounded_weights(kept)
    try:
        yield
    finally:
        weight.data = kept
        hook.remove()


def rounded_weights(weight: Tensor) -> Tensor:
    """(out, ...) -> the same, every output channel rounded to whole numbers of its largest weight over 127."""
    largest = weight.abs().flatten(1).amax(1)
    step = torch.where(largest > 0, largest / _SIGNED, 1.0)
    zero = torch.zeros_like(step, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -_SIGNED, _SIGNED)


def _rounded_input(images: Tensor, low: float, high: float) -> Tensor:
    if low >= 0:
        return torch.fake_quantize_per_tensor_affine(images, (high or 1.0) / _UNSIGNED, 0, 0, _UNSIGNED)
    return torch.fake_quantize_per_tensor_affine(images, max(-low, high) / _SIGNED, 0, -_SIGNED, _SIGNED)
