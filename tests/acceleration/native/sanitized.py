"""Run small networks of every kind in kernels that a sanitizer watches; a process of its own, see test_sanitizers.

    python -m tests.acceleration.native.sanitized LIBRARY RANDOM_ROWS [THREADS ...]

Every buffer of activations gets memory of its own from malloc, so that the address sanitizer has red zones around it.
"""

from __future__ import annotations

import ctypes
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import resnexus
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.native import program
from resnexus.acceleration.native.calls import KernelCalls
from resnexus.acceleration.native.memory import Memories
from resnexus.acceleration.native.placement import place
from resnexus.parity.agreement import agreement, map_agreement
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection
from tests.random_rows import random_rows

_VD = {"stem": "deep", "shortcut": "pool"}
_WIDE = {"block": "bottleneck", "groups": 16, "width": 16, "out_width": 256}
ROWS = (
    {"block": "basic", "width": 24, "out_width": 24, "se_reduction": 4, **_VD},
    {"block": "bottleneck", "groups": 8, "width": 4, "out_width": 64, "se_reduction": 4},
    {"block": "bottleneck", "groups": 4, "width": 32, "out_width": 64, **_VD},
    {"block": "res2", "width": 26, "scale": 4, "out_width": 64, "depths": (2, 1)},
    {"block": "res2", "width": 14, "scale": 3, "out_width": 64, "cascade": "authors", "se_reduction": 4},
    {**_WIDE, "se_reduction": 16, "depths": (1,)},
)
# Dilated: a layer of it is several, on copies of every other pixel.
MAPS: dict[str, Any] = {"features_only": True, "out_indices": (3, 0, 2), "output_stride": 4}
NETWORKS = (
    *((fields, {"num_classes": 7}) for fields in ROWS),
    ({"block": "res2", "width": 14, "scale": 3, "out_width": 64, "depths": (1, 1, 2), **_VD}, MAPS),
    ({"block": "bottleneck", "groups": 8, "width": 4, "out_width": 64, "depths": (1, 1, 2)}, MAPS),
)
SIZES = ((1, 33, 47), (2, 64, 64), (4, 28, 28))


def _alone(calls, images) -> Memories:
    """Give every buffer a memory of its own."""
    everything = [images, *(value for call in calls for value in call.activations())]
    buffers = list(dict.fromkeys(value.buffer for value in everything))
    return Memories(tuple(buffer.floats for buffer in buffers), {buffer: i for i, buffer in enumerate(buffers)})


_c = ctypes.CDLL(None)
_c.calloc.restype = ctypes.c_void_p
_c.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]


def _allocate(floats: int) -> np.ndarray:
    """Return zeroed memory with a red zone on either side; it is never given back."""
    address = _c.calloc(max(floats, 1), 4)
    return np.frombuffer((ctypes.c_float * max(floats, 1)).from_address(address), np.float32)[:floats]


def _cases(drawn: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], tuple[tuple[int, int, int], ...], float]]:
    """Yield fields of a row, options of its network, sizes, and how close to PyTorch; so many rows are random."""
    for fields, options in NETWORKS:
        yield fields, options, SIZES, 1e-5
    draw = random.Random(2)
    for fields in random_rows(drawn):
        most = 32 if fields["stem"] == "small" else 64
        size = draw.randint(1, 3), draw.randint(20, most), draw.randint(20, most)
        yield fields, {"num_classes": draw.randint(1, 40)}, (size,), 3e-5


def main() -> None:
    """Run everything; a difference from PyTorch ends the process, as what the sanitizer finds does."""
    program.share, program.allocate = _alone, _allocate
    kernels, drawn = Path(sys.argv[1]), int(sys.argv[2])
    threads = [int(argument) for argument in sys.argv[3:]] or [1]
    torch.manual_seed(0)
    for fields, options, sizes, close in _cases(drawn):
        row = resnexus.Architecture(**{"name": "tiny", "depths": (1, 1), "stem_width": 16, **fields})
        network = resnexus.create_model(row, **options).eval()
        rewrite = gate_before_projection if has_gated_projection(row) else fold_batch_norm
        for size, height, width in sizes:
            images = torch.randn(size, 3, height, width)
            calls = KernelCalls()
            placed = place(lower(rewrite(network)), Job(batch_size=size, image_size=(height, width)), calls)
            with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
                program.write_program(calls, placed, Path(folder))
                expected = network(images)
                for count in threads:
                    found = program.Program(Path(folder), kernels, count)(images)
                    maps = options.get("out_indices")
                    agreed = map_agreement(maps, expected, found) if maps else agreement(expected, found)
                    assert agreed.within(close), (row, size, height, width, count)
        print(row.block, sorted({call.kind for call in calls.calls}), flush=True)
    print("all ran")


if __name__ == "__main__":
    main()
