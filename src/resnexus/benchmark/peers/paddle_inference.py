"""Paddle Inference as a peer: a network of ours as a Paddle program, run by the original framework on the CPU.

The program is the network as it is; folding and fusing is left to Paddle.
"""

from __future__ import annotations

import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg

from resnexus.acceleration.backends.contract import BackendError, Job, Runner
from resnexus.acceleration.backends.exporting import exported
from resnexus.acceleration.backends.torch import using_threads
from resnexus.architectures.network import Network

_MODEL = "inference"
_PRECISIONS = ("fp32", "bf16")
_ATEN = torch.ops.aten

# By overload, because another overload of the same operator takes other arguments.
Operations = Mapping[Callable[..., Any], Callable[..., Any]]


def build_paddle(network: Network, job: Job, folder: Path) -> None:
    """Write an inference model for any batch size, `inference.json`, and its weights, `inference.pdiparams`.

    Args:
        network: float32, in evaluation mode; left as it is.
        job: where channels and image size come from; in bfloat16 the files are those of float32.
        folder: exists and is empty.

    Raises:
        BackendError: paddlepaddle is not installed, it does not run this job, or the network has an operation that is
            not known here.
    """
    with _quiet():
        paddle = _paddle()
        _check_job(paddle, job)
    # Without decompositions this only makes in-place operations functional.
    program = exported(network, job, any_batch=True).run_decompositions({})
    place = paddle.CPUPlace()
    with _quiet(), _static_graph(paddle) as (main, startup, scope):
        images, logits, weights = _translate(paddle, program, job)
        executor = paddle.static.Executor(place)
        executor.run(startup)
        for name, weight in weights.items():
            scope.find_var(name).get_tensor().set(weight.numpy(), place)
        paddle.static.save_inference_model(str(folder / _MODEL), [images], [logits], executor, program=main)


def load_paddle(folder: Path, job: Job) -> Runner:
    """Open a model that `build_paddle` wrote, with oneDNN and every optimisation of the graph.

    One batch runs before it returns: that is when Paddle chooses its kernels. The batch size may be another than the
    one it was built for.

    Raises:
        BackendError: paddlepaddle is not installed, or it does not run this job.
    """
    with _quiet():
        paddle = _paddle()
        _check_job(paddle, job)
        inference = paddle.inference
        config = inference.Config(str(folder / f"{_MODEL}.json"), str(folder / f"{_MODEL}.pdiparams"))
        config.disable_gpu()
        config.disable_glog_info()
        config.enable_onednn()
        if job.precision == "bf16":
            config.enable_onednn_bfloat16()
        config.set_cpu_math_library_num_threads(job.threads)
        config.switch_ir_optim(True)
        config.enable_memory_optim()
        # The program is in the intermediate representation of Paddle 3, which needs both.
        config.enable_new_ir(True)
        config.enable_new_executor(True)
        config.set_optimization_level(3)
        with using_threads(job.threads):
            runner = _Runner(inference.create_predictor(config), job.threads)
        runner(torch.zeros(job.shape))
    return runner


@final
class _Runner:
    def __init__(self, predictor: Any, threads: int) -> None:
        self.predictor, self.threads = predictor, threads
        (image_name,), (logits_name,) = predictor.get_input_names(), predictor.get_output_names()
        self.images = predictor.get_input_handle(image_name)
        self.logits = predictor.get_output_handle(logits_name)

    def __call__(self, images: Tensor) -> Tensor:
        self.images.copy_from_cpu(images.numpy())
        # oneDNN in Paddle binds to the OpenMP library that was loaded first. Unless paddle was imported before torch
        # that is PyTorch's, whose setting counts then: Paddle's own does not reach it.
        with using_threads(self.threads):
            self.predictor.run()
        return torch.from_numpy(self.logits.copy_to_cpu())


def _translate(paddle: Any, program: ExportedProgram, job: Job) -> tuple[Any, Any, dict[str, Tensor]]:
    """Add every node to the current Paddle program; return its input, its output and name -> weight."""
    operations = _operations(paddle)
    names = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    transposed = {node.args[1] for node in program.graph.nodes if node.target is _ATEN.linear.default}
    values: dict[Node, Any] = {}
    weights: dict[str, Tensor] = {}
    images = logits = None
    for node in program.graph.nodes:
        if node.op == "output":
            ((output,),) = node.args
            logits = values[output]
        elif node.op == "call_function":
            if node.target not in operations:
                raise BackendError(
                    f"Paddle Inference: no translation of {node.target} (node {node.name!r}); known are "
                    f"{', '.join(sorted(str(known) for known in operations))}"
                )
            values[node] = operations[node.target](*map_arg(node.args, values.__getitem__), **node.kwargs)
        elif (name := names[node.name]) is None:
            images = values[node] = paddle.static.data("images", [-1, *job.shape[1:]], "float32")
        elif node.users:  # the counters of the batch normalisations have none
            weight = program.state_dict[name].detach()
            weights[name] = weight.T.contiguous() if node in transposed else weight
            values[node] = _parameter(paddle, name, weights[name])
    return images, logits, weights


def _parameter(paddle: Any, name: str, weight: Tensor) -> Any:
    zero = paddle.nn.initializer.Constant(0.0)  # the weights come when the variables exist
    return paddle.static.create_parameter(list(weight.shape), "float32", name=name, default_initializer=zero)


def _operations(paddle: Any) -> Operations:
    """Return PyTorch operation -> function of Paddle values with PyTorch's arguments in PyTorch's order."""
    functional = paddle.nn.functional

    def batch_norm(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float) -> list[Any]:
        return [functional.batch_norm(x, mean, variance, weight, bias, training=False, epsilon=eps)]

    def avg_pool(
        x: Any, kernel: Any, stride: Any, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> Any:
        return functional.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode, exclusive=not count_include_pad)

    def mean(x: Any, axes: list[int], keepdim: bool = False) -> Any:
        if list(axes) != [2, 3]:
            raise BackendError(f"Paddle Inference: no translation of a mean over the axes {list(axes)}")
        # As the original networks spell it; Paddle's own mean over two axes leaves oneDNN's layout.
        pooled = functional.adaptive_avg_pool2d(x, 1)
        return pooled if keepdim else paddle.squeeze(pooled, axes)

    def split(x: Any, size: int, axis: int = 0) -> Any:
        width = x.shape[axis]
        return paddle.split(x, [min(size, width - start) for start in range(0, width, size)], axis)

    def whole_slice(x: Any, axis: int = 0, start: int | None = None, end: int | None = None) -> Any:
        if start not in (None, 0) or end not in (None, sys.maxsize):
            raise BackendError(f"Paddle Inference: no translation of a slice from {start} to {end}")
        return x

    return {
        _ATEN.conv2d.default: functional.conv2d,
        _ATEN._native_batch_norm_legit_no_training.default: batch_norm,
        _ATEN.linear.default: functional.linear,
        _ATEN.relu.default: functional.relu,
        _ATEN.sigmoid.default: functional.sigmoid,
        _ATEN.add.Tensor: paddle.add,
        _ATEN.mul.Tensor: paddle.multiply,
        _ATEN.max_pool2d.default: functional.max_pool2d,
        _ATEN.avg_pool2d.default: avg_pool,
        _ATEN.mean.dim: mean,
        _ATEN.cat.default: paddle.concat,
        _ATEN.split.Tensor: split,
        _ATEN.slice.Tensor: whole_slice,
        _ATEN.unsqueeze.default: paddle.unsqueeze,
        operator.getitem: operator.getitem,
    }


def _paddle() -> Any:
    try:
        return import_module("paddle")
    except ModuleNotFoundError as error:
        if error.name != "paddle":
            raise
        raise BackendError("paddlepaddle is not installed: pip install 'resnexus[peers]'") from error


def _check_job(paddle: Any, job: Job) -> None:
    if job.device != "cpu" or job.precision not in _PRECISIONS:
        raise BackendError(
            f"Paddle Inference runs {' and '.join(_PRECISIONS)} on cpu here, not {job.precision} on {job.device}"
        )
    # Asked for all the same, Paddle would compute in float32 and say so in its log alone.
    if job.precision == "bf16" and not paddle.base.core.supports_bfloat16():
        raise BackendError("Paddle Inference needs a processor with AVX-512 for bf16; this one has none: use fp32")


@contextmanager
def _static_graph(paddle: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Record operations in a fresh program; yield it, the one that makes its variables, and where they are kept."""
    main, startup, scope = paddle.static.Program(), paddle.static.Program(), paddle.static.Scope()
    eager = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        with (
            paddle.utils.unique_name.guard(),
            paddle.static.program_guard(main, startup),
            paddle.static.scope_guard(scope),
        ):
            yield main, startup, scope
    finally:
        if eager:
            paddle.disable_static()


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop warnings and what is written to the standard streams, by C++ too, which no setting of Paddle's stops."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)
