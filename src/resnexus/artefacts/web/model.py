"""A network as the ONNX model that the page runs."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import Dim, export

from resnexus.architectures.network import Network
from resnexus.artefacts.web.maps import Mapped
from resnexus.packages import required

INPUT, LOGITS, MAPS = "images", "logits", "maps"
"""Names of what goes in and comes out."""


def web_model(network: Network, image_size: int, opset: int | None = None) -> Any:
    """Return a network as an `onnx.ModelProto` with its weights within: images -> logits and maps, see `Mapped`.

    Args:
        network: in evaluation mode, float32.
        image_size: pixels on a side.
        opset: version of ONNX's operators; the exporter's own if None.

    Raises:
        ResnexusError: the network has no last layer, or onnxscript is not installed.
    """
    required("onnxscript")
    # A batch of one would be taken for a constant.
    images = torch.zeros(2, network.in_chans, image_size, image_size)
    with torch.no_grad():
        program = export(Mapped(network), (images,), dynamic_shapes=({0: Dim("batch", min=1)},))
    translated: Any = torch.onnx.export(
        program, (), dynamo=True, verbose=False, opset_version=opset, input_names=[INPUT], output_names=[LOGITS, MAPS]
    )
    return translated.model_proto
