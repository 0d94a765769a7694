"""What the process that interprets kernels does first; it imports Triton when it is told to, not before."""

import os


def interpret() -> None:
    """Have Triton interpret kernels on the CPU; it looks when it is imported."""
    os.environ["TRITON_INTERPRET"] = "1"
    from triton.runtime.interpreter import InterpreterOptions, interpreter_builder

    # Without it each sum of whole numbers is computed three times, and nothing comes of it.
    interpreter_builder.options = InterpreterOptions(sanitize_overflow=False)
