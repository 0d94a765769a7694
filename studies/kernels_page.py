"""What our kernels for GPUs take of a multiprocessor, as the documentation has it: written from the record alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnexus.report.printing import counted, listed
from resnexus.report.table import Column, Entry, Table, to_markdown
from studies.compile_kernels import TARGETS, CompiledKernel, CompiledKernels


def compiled_section(record: CompiledKernels) -> str:
    """Return one row for each kernel, over all settings and dtypes that were compiled."""
    by_name: dict[str, list[CompiledKernel]] = {}
    for kernel in record.kernels:
        by_name.setdefault(kernel.kernel, []).append(kernel)
    columns = (
        Column(title="Kernel", text=True),
        Column(title="Compiled"),
        *(Column(title=f"Registers, sm_{target}") for target in TARGETS),
        Column(title="Shared, at most", unit="KiB"),
        Column(title="With a stack"),
        Column(title="Largest stack", unit="bytes"),
    )
    rows = tuple(_row(name, found) for name, found in by_name.items())
    remarks = (_said(record), "A stack is where numbers go that registers have no room for.")
    caption = "Kernels compiled without a GPU."
    return to_markdown(Table(name="kernels", caption=caption, columns=columns, rows=rows, remarks=remarks)).strip()


def _row(name: str, found: Sequence[CompiledKernel]) -> tuple[Entry, ...]:
    stacks = [kernel.stack_bytes for kernel in found]
    texts = (
        name,
        str(len(found)),
        *(_range(kernel.registers for kernel in found if kernel.target == target) for target in TARGETS),
        f"{max(kernel.shared_bytes for kernel in found) / 1024:.1f}",
        str(sum(stack > 0 for stack in stacks)),
        str(max(stacks)),
    )
    return tuple(Entry(text=text) for text in texts)


def _range(numbers: Iterable[int]) -> str:
    found = sorted(numbers)
    return f"{found[0]} to {found[-1]}" if found else "none"


def _said(record: CompiledKernels) -> str:
    """Return what was compiled, by what, and which kernels need a stack with the row that they take by default."""
    packages = record.environment.packages
    spilt: dict[str, list[str]] = {}
    for kernel in record.kernels:
        if kernel.default and kernel.stack_bytes:
            spilt.setdefault(kernel.kernel, []).append(f"{kernel.dtype} on sm_{kernel.target}")
    needed = listed(f"{name} ({listed(where)})" for name, where in spilt.items())
    return (
        f"{counted(len(record.kernels), 'kernel')} compiled by Triton {packages['triton']} on "
        f"{record.environment.date[:10]}: every row of the tables in fp16, the default rows in bf16 and fp32, too. "
        f"With its default row a stack is needed by {needed or 'none'}."
    )
