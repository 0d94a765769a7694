// The innermost loop of every matrix product.
#pragma once

#include "gemm.hpp"

namespace native {

// What was read from memory before must be read again: addresses would take registers from the sums.
inline __attribute__((always_inline)) void keep_in_memory() { asm volatile("" ::: "memory"); }

// Adds to `sums` the products of Rows * Runs rows of activations, `Pitch` floats apart, and a panel of weights.
template <int Rows, int Runs, int Pitch, int Vectors>
inline __attribute__((always_inline)) void accumulate(Vec (&sums)[Rows * Runs][Vectors], const float* rows, int64_t run,
                                                      const int32_t* offsets, int depth, const float* b,
                                                      const float* ahead) {
    for (const int32_t *offset = offsets, *end = offsets + depth; offset != end; ++offset, b += kPanel) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += kLanes;
        const float *a = rows + *offset, *second = a + run;
        Vec weights[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) weights[v] = load(b + v * kLanes);
#pragma GCC unroll 14
        for (int r = 0; r < Rows * Runs; ++r) {
            const Vec pixel = broadcast(r < Rows ? a[r * Pitch] : second[(r - Rows) * Pitch]);
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v) sums[r][v] += pixel * weights[v];
        }
    }
}

}  // namespace native
