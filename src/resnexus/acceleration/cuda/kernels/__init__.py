"""Our kernels for GPUs, in Triton: one file each, with the floor that its time cannot go below.

    pools              average_pool_2x2(x, out)                                shortcuts of the vd networks
                       average_pool_3x3(x, out, *, stride, counts_padding)     Res2 blocks that are not chained
                       max_pool_3x3(x, out)                                    stems
    head               mean(x, out)                                            the mean over the image
                       mean_linear(x, weight, bias, out, *, workspace)         with the last layer
    gate               excite(x, w1, b1, w2, b2, out, *, workspace)            the gates of squeeze-and-excitation
                       apply(branch, gate, shortcut, out)                      relu(branch * gate + shortcut)
    pointwise          conv1x1(x, weight, bias, residual, out, *, relu, stride, gate, copy, workspace)
    res2               conv3x3(x, addend, weight, bias, out, *, stride, residual, relu, workspace)
    grouped            conv3x3(x, weight, bias, out, *, stride, workspace)     weight: packed(weight, groups, pack)
    grouped_pointwise  conv3x3_conv1x1(x, inner_weight, inner_bias, weight, bias, residual, out, *, stride, relu)
    stem               convolve(x, weight, bias, out, *, stride), of 3x3 or 7x7
    preprocess         normalise(images, mean, std, out)                       bytes in

What holds for all of them:

- Tensors are (N, C, H, W) with the strides of `torch.channels_last`, or consecutive channels of such a tensor: what is
  read and written may be slices of larger tensors. Means and gates are (N, C). Weights are (out, in / groups, k, k)
  with the strides of `torch.channels_last`. All are float16, bfloat16 or float32; `out` may be another of them than
  `x`. Sums are kept in float32, products of float32 are not shortened to TF32, and a result is rounded once.
- Nothing is allocated, synchronised or read back, so that a launch can be captured in a CUDA graph; a kernel is
  compiled for new shapes and settings when it is first launched, which has to come before the capture. The caller gives
  `out` and, where a sum is cut into parts, `workspace`: contiguous float32 numbers, as many as
  `epilogue.workspace_numbers(out, settings)` or the module's own `..._workspace_numbers` says; more are no harm.
  Launches one after the other on one stream may share it. Parts are added in a fixed order, without atomics: the same
  input has the same output to the last bit.
- A kernel writes all of `out` and nothing beside it. No image changes another's results, whatever is in it, and NaN
  passes on as in PyTorch; only within a pack of groups it also passes to neighbouring channels (`grouped`).
- Launches go to the current stream of the current device, which must be the tensors' own.
- `settings=` takes a row of the module's table (`TILES`, `PRODUCTS`, ...): a `settings.Tile` or `settings.Product`. The
  rows that suit a call are those of the module's `candidates`, which a tuner tries, and one of them is its `default`,
  which is taken where none is given. Where a module has two kernels, the names of these functions begin with theirs.
- Where `TRITON_INTERPRET=1` was set before Triton was imported, the same functions run on tensors of the CPU.

These modules import Triton, and nothing but the engine for GPUs imports them. `settings` and `launching` do without.
"""
