"""Does a module of anybody's answer the question: these images, these classes?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError


def count_answers(network: nn.Module, what: str, preprocess: Preprocess) -> int:
    """Ask a module about a black image, and return how many classes it tells apart.

    It is asked in evaluation mode, on the device where it is, and all its parts are left in the modes that they had.

    Args:
        network: (N, C, H, W) -> (N, classes) logits.
        what: it is called in an error, e.g. `"teacher VisionTransformer"`.
        preprocess: which says how large images are, and of how many channels.

    Raises:
        ResnexusError: it does not take such an image, or returns something else.
    """
    shape = (1, preprocess.in_chans, preprocess.size, preprocess.size)
    known = next(iter([*network.parameters(), *network.buffers()]), None)
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            found = network.eval()(torch.zeros(shape, device=None if known is None else known.device))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, AttributeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ResnexusError(f"{what} does not take images of {shape}: {reason}") from error
    finally:
        for module, training in modes.items():
            module.training = training
    if not isinstance(found, Tensor) or found.ndim != 2:
        got = f"a tensor of {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ResnexusError(
            f"{what} returns {got} for images of {shape}, expected logits, (N, classes): wrap it in a module that "
            "returns them"
        )
    return found.shape[1]
