"""What tells images, processors and keys apart; SHA-256 of all that matters about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from resnexus.acceleration.cuda.device import check_gpu, identity
from resnexus.machine import processor
from resnexus.weights.state_digest import tensor_bytes


def digest(key: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record of JSON values, the same for any order of its names."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def computes_on(device: str) -> dict[str, Any]:
    """Return what tells the processor of a device from others: on a GPU its name, its driver and its libraries.

    Raises:
        ResnexusError: there is no GPU.
    """
    if device == "cpu":
        return {"processor": processor()}
    check_gpu()
    return dict(identity())


def images_digest(images: Tensor) -> str:
    """Return the SHA-256 of a tensor of images."""
    return hashlib.sha256(f"{tuple(images.shape)}\n".encode() + tensor_bytes(images)).hexdigest()
