"""Our own kernels for the CPU in float32: C++ that is compiled here, and what describes a network to it."""
