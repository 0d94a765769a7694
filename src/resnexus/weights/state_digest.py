"""What tells the weights of one module from those of another, where there is no file of them."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def state_sha256(network: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of a module's parameters and buffers, in hexadecimal.

    The order in which they were registered and the device on which they are change nothing; what is in a state but no
    tensor is left out.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def tensor_bytes(tensor: Tensor) -> bytes:
    """Return the numbers of a tensor, row after row, wherever it is and whatever its strides."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
