// Dense convolutions and linear layers as matrix products over the pixels where they lie: nothing is copied.
#pragma once

#include "gemm.hpp"
#include "threads.hpp"

namespace native {

struct Convolution {
    Tensor in;             // with a border as wide as the padding, of zeros
    int64_t stride;
    const int32_t* offsets;  // per element of the reduction, from the pixel at (stride y, stride x)
    int64_t depth;           // of the reduction
    const float* weights;  // [panels][depth][32]
    int64_t panels;
    int64_t panels_per_group;
    int64_t group_offset;  // floats from the activations of one group to those of the next
    Epilogue epilogue;
};

void run(const Convolution& convolution, Threads& threads);

}  // namespace native
