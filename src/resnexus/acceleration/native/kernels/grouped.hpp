// 3x3 convolutions with 4, 8 or 16 channels per group: 4, 2 or 1 groups side by side in a vector.
#pragma once

#include "epilogue.hpp"
#include "threads.hpp"

namespace native {

struct Grouped {
    Tensor in;  // with a border of zeros, one pixel wide
    int64_t stride;
    int64_t width;         // channels per group, in and out
    const float* weights;  // [blocks][3 rows][width][3 columns][16 output channels]
    Epilogue epilogue;
};

void run(const Grouped& grouped, Threads& threads);

}  // namespace native
