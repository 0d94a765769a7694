"""Compile our kernels for GPUs without one, and record what they take of a multiprocessor.

    python -m studies.compile_kernels results/gpu_kernels_compiled_DATE.json

Every kernel with every row of its table, for sm_80 (A100) and sm_90 (H100, H200), in float16; with the row that it
takes by default in bfloat16 and float32, too. Shapes are those of 50 layers at batch 8. Nothing is run: Triton and the
assembler that comes with it need no GPU. A stack is where numbers go that registers have no room for.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from resnexus.acceleration.cuda.kernels.settings import Product, Tile
from resnexus.benchmark.environment import Environment, environment
from resnexus.errors import ResnexusError
from resnexus.packages import required
from resnexus.records import write_json

TARGETS = (80, 90)
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
TYPES = {torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.uint8: "*u8"}
IMAGES = 8
WORKSPACE = torch.empty(1 << 30, device="meta")


@dataclass(frozen=True, kw_only=True)
class CompiledKernel:
    """What one kernel takes.

    Attributes:
        kernel: its name.
        dtype: `"fp16"`, `"bf16"` or `"fp32"`.
        target: compute capability, 80 or 90.
        settings: the row of its table; None for kernels that have none of their own.
        default: whether that is the row it takes by default.
        registers: of a thread, of 255.
        stack_bytes: of a thread.
        shared_bytes: of a program.
    """

    kernel: str
    dtype: str
    target: int
    settings: dict[str, int] | None
    default: bool
    registers: int
    stack_bytes: int
    shared_bytes: int

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES or min(self.registers, self.stack_bytes, self.shared_bytes) < 0:
            raise ResnexusError(f"{self}: expected a dtype of {', '.join(DTYPES)} and no negative numbers")


@dataclass(frozen=True, kw_only=True)
class CompiledKernels:
    """The record.

    Attributes:
        environment: that it was compiled in.
        kernels: what each takes.
    """

    environment: Environment
    kernels: tuple[CompiledKernel, ...]


@dataclass(frozen=True)
class Launch:
    """A launch that did not happen: the arguments of `launching.launch`."""

    kernel: Any
    arguments: dict[str, Any]
    warps: int
    stages: int

    @property
    def key(self) -> str:
        """What it is compiled from, as text."""
        described = {
            name: str(value.dtype) if isinstance(value, Tensor) else value for name, value in self.arguments.items()
        }
        return repr((self.kernel.__name__, described, self.warps, self.stages))


@dataclass(frozen=True)
class Call:
    """A kernel on tensors without memory.

    Attributes:
        run: launches it, cut up by a row.
        rows: of its table.
        default: the one it takes by default.
    """

    run: Callable[[Any], None]
    rows: tuple[Tile, ...] | tuple[Product, ...]
    default: Tile | Product


def launches(call: Callable[[], None]) -> list[Launch]:
    """Return what a call launches, without launching it."""
    from resnexus.acceleration.cuda.kernels import launching

    found: list[Launch] = []

    def record(kernel: Any, programs: Any, arguments: dict[str, Any], *, warps: int, stages: int = 1) -> None:
        found.append(Launch(kernel, arguments, warps, stages))

    with mock.patch.object(launching, "launch", record):
        call()
    return found


def compile_launch(launch: Launch, target: int) -> tuple[int, int, int]:
    """Compile a launch for a compute capability, and return registers, bytes of the stack, and shared bytes."""
    triton = required("triton")
    from triton.backends.compiler import GPUTarget

    signature: dict[str, str] = {}
    constants: dict[str, Any] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for index, argument in enumerate(launch.kernel.params):
        value = launch.arguments[argument.name]
        if argument.is_constexpr or value is None:
            signature[argument.name], constants[argument.name] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[argument.name] = TYPES[value.dtype]
            if value.storage_offset() * value.element_size() % 16 == 0:  # PyTorch allocates at such addresses
                attributes[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[argument.name] = "fp32" if isinstance(value, float) else "i32"
    source = triton.compiler.ASTSource(launch.kernel, signature, constants, attributes)
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    compiled = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    registers, stack = resources(compiled.asm["cubin"])
    return registers, stack, int(compiled.metadata.shared)


def resources(binary: bytes) -> tuple[int, int]:
    """Return the registers and bytes of the stack that a thread of a compiled kernel takes."""
    tool = Path(required("triton").__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(binary)
        command = [str(tool), "--dump-resource-usage", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return read_usage(text)


def read_usage(text: str) -> tuple[int, int]:
    """Return registers and bytes of the stack from what `cuobjdump --dump-resource-usage` prints."""
    found = re.search(r"REG:(\d+) STACK:(\d+)", text)
    if found is None:
        raise ResnexusError(f"cuobjdump says nothing of registers: {text.strip()[:200]!r}")
    return int(found[1]), int(found[2])


def activations(dtype: torch.dtype, channels: int, size: int, *, of: int | None = None, first: int = 0) -> Tensor:
    """Return channels from `first` on of (IMAGES, of, size, size), without memory."""
    shape = (IMAGES, of or channels, size, size)
    whole = torch.empty(shape, dtype=dtype, device="meta", memory_format=torch.channels_last)
    return whole[:, first : first + channels]


def parameter(dtype: torch.dtype, *shape: int) -> Tensor:
    """Return a weight, gates or logits without memory."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device="meta", memory_format=layout)


def element_wise(dtype: torch.dtype) -> dict[str, Call]:
    """Return a call of each kernel without matrix products, with shapes of 50 layers at batch 8."""
    from resnexus.acceleration.cuda.kernels import gate, head, pools, preprocess

    image, weight = partial(activations, dtype), partial(parameter, dtype)
    x56, x28, x14, x7, photo = image(256, 56), image(256, 28), image(1024, 14), image(2048, 7), image(3, 224)
    gates, means = weight(IMAGES, 1024), weight(IMAGES, 2048)
    squeeze, excite = (weight(64, 1024), weight(64)), (weight(1024, 64), weight(1024))
    pixels = torch.empty((IMAGES, 224, 224, 3), dtype=torch.uint8, device="meta")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pool = pools.default(x56, x28)
    return {
        "average_pool_2x2": Call(lambda row: pools.average_pool_2x2(x56, x28, settings=row), pools.TILES, pool),
        "max_pool_3x3": Call(lambda row: pools.max_pool_3x3(x56, x28, settings=row), pools.TILES, pool),
        "mean": Call(lambda row: head.mean(x7, means, settings=row), head.TILES, head.mean_default(x7)),
        "excite": Call(
            lambda row: gate.excite(x14, *squeeze, *excite, gates, workspace=WORKSPACE, settings=row),
            gate.EXCITE,
            gate.excite_default(x14),
        ),
        "apply": Call(lambda row: gate.apply(x14, gates, x14, x14, settings=row), gate.APPLY, gate.apply_default(x14)),
        "normalise": Call(
            lambda row: preprocess.normalise(pixels, mean, std, photo, settings=row),
            preprocess.TILES,
            preprocess.TILES[0],
        ),
    }


def products(dtype: torch.dtype) -> dict[str, Call]:
    """Return a call of each kernel that multiplies matrices, with shapes of 50 layers at batch 8."""
    from resnexus.acceleration.cuda.kernels import grouped, grouped_pointwise, head, pointwise, res2, stem

    image, weight = partial(activations, dtype), partial(parameter, dtype)
    photo, first, x14, entry, x7 = image(3, 224), image(32, 112), image(1024, 14), image(512, 14), image(2048, 7)
    inner, out = image(128, 56), image(256, 56)
    part, addend, split = (image(26, 56, of=104, first=start) for start in (26, 0, 26))
    parts, last, w104 = image(104, 56), image(26, 56, of=104, first=78), weight(104, 256, 1, 1)
    w3, w1, w26, pack = weight(32, 3, 3, 3), weight(512, 1024, 1, 1), weight(26, 26, 3, 3), weight(128, 32, 3, 3)
    projection, classes, logits = weight(256, 128, 1, 1), weight(1000, 2048), weight(IMAGES, 1000)
    b26, b32, b104, b128, b256, b512, b1000 = map(weight, (26, 32, 104, 128, 256, 512, 1000))
    return {
        "mean_linear": Call(
            lambda row: head.mean_linear(x7, classes, b1000, logits, workspace=WORKSPACE, settings=row),
            head.mean_linear_candidates(x7, logits),
            head.mean_linear_default(x7, logits),
        ),
        "conv1x1": Call(
            lambda row: pointwise.conv1x1(x14, w1, b512, entry, entry, relu=True, workspace=WORKSPACE, settings=row),
            pointwise.PRODUCTS,
            pointwise.default(x14, entry),
        ),
        "conv1x1, written twice": Call(
            lambda row: pointwise.conv1x1(
                out, w104, b104, None, parts, relu=True, copy=last, workspace=WORKSPACE, settings=row
            ),
            pointwise.PRODUCTS,
            pointwise.default(out, parts),
        ),
        "res2": Call(
            lambda row: res2.conv3x3(part, addend, w26, b26, split, workspace=WORKSPACE, settings=row),
            res2.PRODUCTS,
            res2.default(part, w26, split),
        ),
        "grouped": Call(
            lambda row: grouped.conv3x3(inner, pack, b128, inner, workspace=WORKSPACE, settings=row),
            grouped.candidates(inner, pack, inner),
            grouped.default(inner, pack, inner),
        ),
        "grouped_pointwise": Call(
            lambda row: grouped_pointwise.conv3x3_conv1x1(inner, pack, b128, projection, b256, out, out, settings=row),
            grouped_pointwise.PRODUCTS,
            grouped_pointwise.default(inner, pack, out),
        ),
        "stem": Call(
            lambda row: stem.convolve(photo, w3, b32, first, settings=row),
            stem.PRODUCTS,
            stem.default(photo, w3, first),
        ),
    }


def calls(dtype: torch.dtype) -> dict[str, Call]:
    """Return a call of each kernel by its name."""
    return element_wise(dtype) | products(dtype)


def compiled(say: Callable[[str], None]) -> Iterator[CompiledKernel]:
    """Yield what each kernel takes, as it is compiled; `say` gets a sentence for what Triton cannot compile."""
    seen = set()
    for dtype_name, others in (*((name, False) for name in DTYPES), ("fp16", True)):
        for name, call in calls(DTYPES[dtype_name]).items():
            for row in call.rows if others else (call.default,):
                for launch, target in product(launches(partial(call.run, row)), TARGETS):
                    kernel = f"{name}: {launch.kernel.__name__.lstrip('_')}"
                    if (launch.key, target) in seen:
                        continue
                    seen.add((launch.key, target))
                    try:
                        registers, stack, shared = compile_launch(launch, target)
                    except Exception as error:  # what a compiler fails with is a finding, of any kind
                        say(f"{kernel}, {dtype_name}, sm_{target}, {row}: {error}")
                        continue
                    yield CompiledKernel(
                        kernel=kernel,
                        dtype=dtype_name,
                        target=target,
                        settings=asdict(row),
                        default=row == call.default,
                        registers=registers,
                        stack_bytes=stack,
                        shared_bytes=shared,
                    )


def main() -> None:
    """Compile all kernels and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the record")
    arguments = parser.parse_args()
    machine, found = environment(), []
    for kernel in compiled(lambda sentence: print(sentence, file=sys.stderr)):
        found.append(kernel)
        write_json(CompiledKernels(environment=machine, kernels=tuple(found)), arguments.out)
    spilt = [kernel for kernel in found if kernel.stack_bytes]
    print(f"{len(found)} kernels, {len(spilt)} of which need a stack:")
    for kernel in spilt:
        print(f"  {kernel.kernel}, {kernel.dtype}, sm_{kernel.target}, {kernel.settings}: {kernel.stack_bytes} bytes")


if __name__ == "__main__":
    main()
