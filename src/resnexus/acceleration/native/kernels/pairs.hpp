// The pairs of pixels that Strassen's algorithm multiplies together.
#pragma once

#include <array>

#include "places.hpp"
#include "slice.hpp"

namespace native {

// Always two pixels of one image, whatever else is in the batch: no image can change another's result, and none is
// rounded differently in another place of a batch or by other threads. A pixel of the first half of an image goes with
// the one half an image behind it, the last pixel of an odd image with itself.
struct Pairing {
    int pixels, pairs, tiles;  // of one image

    explicit Pairing(const Tensor& in)
        : pixels(in.height * in.width), pairs(divide_up(pixels, 2)), tiles(divide_up(pairs, kTileRows)) {}
    bool odd() const { return pixels % 2; }
    int upper(int pair) const { return pair == pixels / 2 ? pixels - 1 : pair; }
    int lower(int pair) const { return pair + pixels / 2; }
};

// Up to 14 pairs of one image: the rows of a tile. Index 0 is the upper half of the matrix, 1 the lower.
struct Pairs {
    int count;
    int before;                                        // pairs of the tiles before this one
    std::array<std::array<int, kTileRows>, 2> pixels;  // among those of all images
    std::array<Places, 2> places;                      // of the results

    Pairs(const Pairing& pairing, const Tensor& out, int tile, int before) : before(before) {
        const int image = tile / pairing.tiles * pairing.pixels;
        const Slice own = slice(pairing.pairs, tile % pairing.tiles, pairing.tiles);
        count = own.size();
        for (int r = 0; r < count; ++r) {
            pixels[0][r] = image + pairing.upper(own.first + r);
            pixels[1][r] = image + pairing.lower(own.first + r);
            for (int h = 0; h < 2; ++h) {
                const Cursor at(out, pixels[h][r]);
                places[h][r] = out.at(0, at.n, at.y, at.x) - out.data;
            }
        }
    }
};

}  // namespace native
