import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from resnexus.benchmark.environment import environment
from resnexus.errors import ResnexusError
from resnexus.records import read_json, write_json
from studies.compile_kernels import CompiledKernel, CompiledKernels, calls, compile_launch, launches, read_usage

USAGE = " Function _pool:\n  REG:40 STACK:24 SHARED:0 LOCAL:0 CONSTANT[0]:620 TEXTURE:0 SURFACE:0 SAMPLER:0\n"


def test_what_the_tool_prints():
    assert read_usage(f"Resource usage:\n Common:\n  GLOBAL:0\n{USAGE}") == (40, 24)
    with pytest.raises(ResnexusError, match="says nothing of registers: 'Fatal'"):
        read_usage("Fatal\n")


def compiled(cache):
    """Compile one pool for sm_90, in a process of its own."""
    os.environ["TRITON_CACHE_DIR"] = str(cache)
    import torch

    found = calls(torch.float16)
    excite = launches(lambda: found["excite"].run(found["excite"].default))
    (pool,) = launches(lambda: found["average_pool_2x2"].run(found["average_pool_2x2"].default))
    defaults = [call.default in call.rows for call in found.values()]
    return defaults, [launch.kernel.__name__ for launch in excite], compile_launch(pool, 90)


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="Triton comes with PyTorch on Linux")
def test_a_kernel_is_compiled_without_a_gpu(tmp_path):
    # Triton's compiler does not bear every library that this process may have loaded.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        defaults, names, (registers, stack, shared) = process.submit(compiled, tmp_path / "cache").result()
    assert len(defaults) > 10
    assert all(defaults)
    assert names == ["_squeeze", "_excite"]
    assert 0 < registers < 256
    assert (stack, shared) == (0, 0)


def test_the_record_is_read_as_it_was_written(tmp_path):
    kernel = CompiledKernel(
        kernel="mean: mean",
        dtype="fp16",
        target=90,
        settings={"pixels": 8},
        default=True,
        registers=32,
        stack_bytes=0,
        shared_bytes=128,
    )
    record = CompiledKernels(environment=environment(), kernels=(kernel,))
    write_json(record, tmp_path / "record.json")
    assert read_json(CompiledKernels, tmp_path / "record.json") == record
    with pytest.raises(ResnexusError, match="expected a dtype of fp16"):
        CompiledKernel(**(vars(kernel) | {"dtype": "int8"}))
