"""What the process that interprets kernels does before anything else; it imports nothing that imports Triton."""

import os


def interpret() -> None:
    """Have Triton interpret kernels on the CPU; it looks when it is imported."""
    os.environ["TRITON_INTERPRET"] = "1"
