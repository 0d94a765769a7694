// Where consecutive pixels of a result lie.
#pragma once

#include <array>

#include "tensor.hpp"

namespace native {

constexpr int kTileRows = 14;  // 14 x 2 sums, 2 weights and 1 activation fill the 32 vector registers of AVX-512

// Per row of a tile, floats from the first pixel of the result.
using Places = std::array<int64_t, kTileRows>;

inline Places places_of(const Tensor& tensor, int first_pixel, int rows) {
    Places places;
    Cursor cursor(tensor, first_pixel);
    for (int r = 0; r < rows; ++r) {
        places[r] = tensor.at(0, cursor.n, cursor.y, cursor.x) - tensor.data;
        cursor.next(tensor);
    }
    return places;
}

}  // namespace native
