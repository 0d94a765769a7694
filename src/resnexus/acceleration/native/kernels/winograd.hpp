// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): 36 multiplications where 144 would be.
#pragma once

#include "convolution.hpp"
#include "scratch.hpp"

namespace native {

struct Winograd {
    Tensor in;             // with a border of zeros: one pixel, and up to the last tile's end
    const int32_t* channels;  // the input channels that are in use
    int64_t depth;            // how many
    const float* weights;  // [panels][36][depth][32], transformed
    int64_t panels;
    Epilogue epilogue;
};

void run(const Winograd& winograd, Scratch& scratch, Threads& threads);

}  // namespace native
