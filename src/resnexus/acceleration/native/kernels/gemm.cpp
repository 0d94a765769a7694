#include "gemm.hpp"

#include <array>
#include <utility>

#include "accumulate.hpp"
#include "places.hpp"

namespace native {
namespace {

// The general end of a tile, for what is rare or small.
template <int Rows, int Vectors>
__attribute__((noinline)) void finish_any(const Vec (&sums)[Rows][Vectors], const Tile& tile) {
    const Epilogue& epilogue = *tile.epilogue;
    for (int v = 0; v < Vectors; ++v) {
        Cursor cursor(epilogue.out, tile.first_pixel);
        for (int r = 0; r < Rows; ++r) {
            finish(epilogue, sums[r][v], tile.block + v, cursor);
            cursor.next(epilogue.out);
        }
    }
}

template <int Rows, int Runs, int Pitch, int Vectors>
void multiply(const Tile& tile) {
    constexpr int kRows = Rows * Runs;
    const Epilogue& epilogue = *tile.epilogue;
    const bool simple = is_uniform(epilogue, tile.first_pixel, kRows);
    const Places& places = *tile.places;
    float* out = epilogue.out.data + int64_t(tile.block) * epilogue.out.block;
    const float* residual = epilogue.residual.data + int64_t(tile.block) * epilogue.residual.block;
#pragma GCC unroll 1
    for (int r = 0; r < kRows; ++r) {
        for (int v = 0; v < Vectors; ++v) __builtin_prefetch(out + places[r] + v * epilogue.out.block, 1);
    }
    if (simple && epilogue.residual.data) {
#pragma GCC unroll 1
        for (int r = 0; r < kRows; ++r) {
            for (int v = 0; v < Vectors; ++v) __builtin_prefetch(residual + places[r] + v * epilogue.residual.block, 0);
        }
    }
    Vec sums[kRows][Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
        const Vec bias = bias_of(epilogue, tile.block + v);
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r) sums[r][v] = bias;
    }
    accumulate<Rows, Runs, Pitch>(sums, tile.a, tile.run, tile.offsets, tile.depth, tile.b, tile.ahead);
    keep_in_memory();
    if (!simple) {
        Vec copy[kRows][Vectors];  // so that the sums themselves never need an address
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v) copy[r][v] = sums[r][v];
        }
        finish_any<kRows, Vectors>(copy, tile);
        return;
    }
    const Vec least = broadcast(epilogue.least);
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v, out += epilogue.out.block, residual += epilogue.residual.block) {
        const Vec gate = gate_of(epilogue, tile.block + v, tile.first_pixel);
        if (epilogue.residual.data) {
#pragma GCC unroll 14
            for (int r = 0; r < kRows; ++r) {
                store(out + places[r], max(sums[r][v] * gate + load(residual + places[r]), least));
            }
        } else {
#pragma GCC unroll 14
            for (int r = 0; r < kRows; ++r) store(out + places[r], max(sums[r][v] * gate, least));
        }
    }
}

using Row = std::array<TileKernel, kTileRows>;

template <int Runs, int Pitch, int Vectors, int... Index>
constexpr Row by_rows(std::integer_sequence<int, Index...>) {
    return {multiply<Index + 1, Runs, Pitch, Vectors>...};
}

template <int Pitch, int Vectors>
TileKernel pick(int rows, int runs) {
    static constexpr Row once = by_rows<1, Pitch, Vectors>(std::make_integer_sequence<int, kTileRows>());
    static constexpr Row twice = by_rows<2, Pitch, Vectors>(std::make_integer_sequence<int, kTileRows / 2>());
    return (runs == 1 ? once : twice)[rows - 1];
}

template <int Pitch>
TileKernel pick(int rows, int runs, int vectors) {
    return vectors == 1 ? pick<Pitch, 1>(rows, runs) : pick<Pitch, 2>(rows, runs);
}

}  // namespace

TileKernel tile_kernel(int rows, int runs, int pitch, int vectors) {
    if (pitch == 1) return pick<1>(rows, runs, vectors);
    if (pitch == 2) return pick<2>(rows, runs, vectors);
    if (pitch == kLanes) return pick<kLanes>(rows, runs, vectors);
    return pick<2 * kLanes>(rows, runs, vectors);
}

}  // namespace native
