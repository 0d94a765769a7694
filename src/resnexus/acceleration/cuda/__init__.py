"""Our engine for NVIDIA GPUs: library calls with fused epilogues and kernels of our own."""
