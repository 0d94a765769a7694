// 1x1 convolutions by one level of Strassen's algorithm: seven products of half the pixels of every image, half the
// input channels and half the output channels, where eight would be.
#pragma once

#include "gemm.hpp"
#include "scratch.hpp"
#include "threads.hpp"

namespace native {

struct Strassen {
    Tensor in;                // without a border; an even number of blocks
    const int32_t* channels;  // those of the first half of the blocks that are in use; the second half is like it
    int64_t depth;            // how many
    const float* weights;     // [output channels / 64][7][depth][32]
    Epilogue epilogue;
};

void run(const Strassen& strassen, Scratch& scratch, Threads& threads);

}  // namespace native
