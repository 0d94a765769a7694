from __future__ import annotations

from dataclasses import replace

from resnexus.benchmark.environment import environment
from studies.compile_kernels import CompiledKernel, CompiledKernels
from studies.kernels_page import compiled_section

KERNEL = CompiledKernel(
    kernel="mean: mean",
    dtype="fp16",
    target=80,
    settings=None,
    default=False,
    registers=32,
    stack_bytes=0,
    shared_bytes=1536,
)


def test_a_row_holds_all_that_was_compiled_of_a_kernel():
    found = (KERNEL, replace(KERNEL, registers=40, stack_bytes=8), replace(KERNEL, target=90, default=True))
    machine = replace(environment(), packages={"triton": "3.8.0"})
    text = compiled_section(CompiledKernels(environment=machine, kernels=found))
    assert "| mean: mean | 3 | 32 to 40 | 32 to 32 | 1.5 | 1 | 8 |" in text
    assert "3 kernels compiled by Triton 3.8.0" in text
    assert "With its default row a stack is needed by none." in text
    spilt = replace(KERNEL, default=True, stack_bytes=8)
    text = compiled_section(CompiledKernels(environment=machine, kernels=(spilt, replace(spilt, target=90))))
    assert "is needed by mean: mean (fp16 on sm\\_80 and fp16 on sm\\_90)." in text
