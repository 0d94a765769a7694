// Layers without weights: pools, means, gates, and the way into and out of the blocked layout.
#pragma once

#include "epilogue.hpp"
#include "threads.hpp"

namespace native {

struct Pool {
    Tensor in, out;
    int64_t kernel, stride, padding;
    int64_t maximum;         // the maximum, else the mean
    int64_t counts_padding;  // whether the mean counts pixels outside the image as zeros
};

struct Mean {
    Tensor in, out;  // out: one value per image and channel
};

// Copies to an output, (images, channels, height, width), from its image `first` on.
struct Write {
    Tensor in;
    int64_t output, first, channels;
};

// relu(gate * in + residual)
struct Gated {
    Tensor in, gate, residual, out;
};

void run(const Pool& pool, Threads& threads);
void run(const Mean& mean, Threads& threads);
void run(const Gated& gated, Threads& threads);

// (images, channels, height, width) -> planes with a border; `to` has a block per channel and a pixel of one float.
void read_images(const float* images, const Tensor& to, Threads& threads);
// Some images of one output.
void run(const Write& write, float* const* outputs, Threads& threads);

}  // namespace native
