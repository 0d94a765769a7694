"""PyTorch's exported programs, quantised with the operators of PT2E."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram

from resnexus.acceleration.backends.exporting import Prepared, exported_for
from resnexus.acceleration.backends.int8 import Operation, gate_operations, quantised
from resnexus.architectures.network import Network
from resnexus.quantisation.forms.contract import Array, Form
from resnexus.rewrites.folding import cast

_WEIGHTED = frozenset({"conv2d", "linear"})


@final
class ProgramForm(Form):
    """Activations are quantised and dequantised around operations in float32; weights are stored in int8.

    PyTorch runs that as it stands, which takes longer than float32; a compiler may fuse it to operations in int8.
    """

    format = "pt2"
    engine = "eager"
    packages = ("nncf", "torchao")

    def weights(self, model: ExportedProgram) -> dict[str, Array]:
        """Return the parameters that the operations read."""
        module = _module(model)
        return {name: tensor.detach().numpy() for name, tensor in _tensors(module) if tensor.is_floating_point()}

    def quantised(self, model: ExportedProgram, images: Tensor, left_alone: Sequence[str]) -> ExportedProgram:
        """Quantise the graph of a program, and export it again."""
        module = _module(model)
        names = dict.fromkeys((*gate_operations(_operations(module)), *left_alone))
        # NNCF warns that this is an experiment; what it gives is measured.
        found = quantised(module, [image[None] for image in images], list(names), level=logging.ERROR)
        shape = images.shape[1:]
        return exported_for(found, torch.zeros(2, *shape), {0: Dim("batch", min=1)})

    def in_int8(self, model: ExportedProgram) -> frozenset[str]:
        """Return the operations whose weights come from a tensor in int8."""
        return frozenset(name for name, tensor in _tensors(_module(model)) if tensor.dtype == torch.int8)

    def half(self, path: Path, network: Network) -> Callable[[Array], object]:
        """Run the network itself, cast."""
        prepared = Prepared(cast(network, torch.bfloat16), torch.bfloat16, torch.contiguous_format).eval()

        def run(images: Array) -> object:
            with torch.inference_mode():
                return prepared(torch.from_numpy(images))

        return run


def _module(program: ExportedProgram) -> fx.GraphModule:
    """Return the graph of a program, without operations in place."""
    return program.run_decompositions({}).module(check_guards=False)


def _operations(module: fx.GraphModule) -> list[Operation]:
    nodes = [node for node in module.graph.nodes if node.op not in ("get_attr", "output")]
    names = {node.name for node in nodes}
    return [
        Operation(
            name=node.name,
            kind=_kind(node),
            inputs=tuple(source.name for source in node.all_input_nodes if source.name in names),
        )
        for node in nodes
    ]


def _kind(node: fx.Node) -> str:
    """Return e.g. `"conv2d"` for `aten.conv2d.default`."""
    return str(node.target).split(".")[1] if isinstance(node.target, torch._ops.OpOverload) else str(node.op)


def _tensors(module: fx.GraphModule) -> list[tuple[str, Tensor]]:
    """Return operations with weights, each with the tensor that its second argument comes from."""
    found = []
    for node in module.graph.nodes:
        if _kind(node) in _WEIGHTED:
            source: Any = node.args[1]
            while source.op == "call_function":
                source = source.args[0]
            if source.op == "get_attr":
                found.append((node.name, _attribute(module, str(source.target))))
    return found


def _attribute(module: fx.GraphModule, target: str) -> Tensor:
    owner, _, name = target.rpartition(".")
    found: Tensor = getattr(module.get_submodule(owner), name)
    return found


FORM = ProgramForm()
