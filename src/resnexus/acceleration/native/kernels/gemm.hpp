// The matrix product behind every dense convolution: up to 14 pixels by up to 32 output channels in registers.
#pragma once

#include "epilogue.hpp"
#include "places.hpp"

namespace native {

constexpr int kPanelVectors = 2;
constexpr int kPanel = kPanelVectors * kLanes;

// Up to 14 rows of one matrix product.
struct Tile {
    const float* a;       // row 0
    int64_t run;          // floats from row 0 to the first row of the second run
    const int32_t* offsets;  // per element of the reduction, floats from the start of a row to it
    int depth;               // of the reduction
    const float* b;       // the panel: per element of the reduction, one weight per output channel
    const float* ahead;   // weights that are needed soon: as many vectors as the reduction is deep are prefetched
    int block;            // of output channels where the panel starts
    int first_pixel;      // of `out`, of row 0; the rows are consecutive pixels
    const Places* places;
    const Epilogue* epilogue;
};

// The weights to prefetch with tile `index` of `count` that are multiplied by one panel, at `b`, before the next panel is
// needed: the last two tiles fetch half of that each.
inline const float* ahead_of(const float* b, int depth, int index, int count) {
    const int until_next = count - index;
    return until_next > 2 ? b : b + int64_t(depth) * kLanes * (4 - until_next);
}

using TileKernel = void (*)(const Tile&);

// The kernel for `rows` rows in each of `runs` runs (1 or 2), `pitch` floats apart in memory (16, 32, 1 or 2), and
// `vectors` vectors of output channels (1 or 2). rows * runs is at most 14.
TileKernel tile_kernel(int rows, int runs, int pitch, int vectors);

}  // namespace native
