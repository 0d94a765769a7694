#include "grouped.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "slice.hpp"

namespace native {
namespace {

constexpr int kKernel = 3;
constexpr int kRowPixels = 14;

struct Piece {
    const float* in;  // pixel under the kernel's first row and column
    int64_t row;
    int width;
    const float* weights;
    int block, first_pixel;
    const Epilogue* epilogue;
    Indices first_of_group;  // per output channel, the first channel of its group
};

// Every output channel's own copy of channel i of its group.
template <bool Whole>
inline Vec spread(const float* pixel, int i, Indices which) {
    return Whole ? broadcast(pixel[i]) : permute(load(pixel), which);
}

// A row of `Pixels` results: every pixel under the kernel is spread once and serves up to three of them.
template <int Pixels, int Stride, bool Whole>
void row_of_pixels(const Piece& piece) {
    constexpr int kColumns = (Pixels - 1) * Stride + kKernel;
    Vec sums[Pixels] = {};
    const float* weights = piece.weights;
    for (int ky = 0; ky < kKernel; ++ky) {
        const float* in = piece.in + ky * piece.row;
        for (int i = 0; i < piece.width; ++i, weights += kKernel * kLanes) {
            const Vec w[kKernel] = {load(weights), load(weights + kLanes), load(weights + 2 * kLanes)};
            const Indices which = piece.first_of_group + i;
#pragma GCC unroll 29
            for (int column = 0; column < kColumns; ++column) {
                const Vec value = spread<Whole>(in + column * kLanes, i, which);
#pragma GCC unroll 3
                for (int kx = 0; kx < kKernel; ++kx) {
                    const int x = column - kx;
                    if (x >= 0 && x % Stride == 0 && x / Stride < Pixels) sums[x / Stride] += value * w[kx];
                }
            }
        }
    }
    const Vec bias = bias_of(*piece.epilogue, piece.block);
    Cursor cursor(piece.epilogue->out, piece.first_pixel);
#pragma GCC unroll 14
    for (int x = 0; x < Pixels; ++x) {
        finish(*piece.epilogue, sums[x] + bias, piece.block, cursor);
        cursor.next(piece.epilogue->out);
    }
}

using RowKernel = void (*)(const Piece&);
using Kernels = std::array<RowKernel, kRowPixels>;

template <int Stride, bool Whole, int... Index>
constexpr Kernels by_pixels(std::integer_sequence<int, Index...>) {
    return {row_of_pixels<Index + 1, Stride, Whole>...};
}

template <int Stride, bool Whole>
RowKernel pick(int pixels) {
    static constexpr Kernels kernels = by_pixels<Stride, Whole>(std::make_integer_sequence<int, kRowPixels>());
    return kernels[pixels - 1];
}

RowKernel row_kernel(int pixels, int stride, bool whole) {
    if (stride == 1) return whole ? pick<1, true>(pixels) : pick<1, false>(pixels);
    return whole ? pick<2, true>(pixels) : pick<2, false>(pixels);
}

}  // namespace

void run(const Grouped& grouped, Threads& threads) {
    const Tensor& in = grouped.in;
    const Tensor& out = grouped.epilogue.out;
    const int pieces = divide_up(out.width, kRowPixels);
    const int block_weights = kKernel * kKernel * int(grouped.width) * kLanes;
    const int64_t corner = in.row + in.pixel;
    Indices first_of_group;
    for (int lane = 0; lane < kLanes; ++lane) first_of_group[lane] = lane / int(grouped.width) * int(grouped.width);
    // Rows first, so that a thread works on the pixels that it worked on before.
    const int rows = out.images * out.height, bands = std::min(rows, threads.count());
    threads.parallel(bands * out.blocks, [&](int task, int) {
        const Slice band = slice(rows, task / out.blocks, bands);
        const int block = task % out.blocks;
        for (int row = band.first; row < band.last; ++row) {
            const int n = row / out.height, y = row % out.height;
            for (int p = 0; p < pieces; ++p) {
                const Slice columns = slice(out.width, p, pieces);
                const float* from =
                    in.at(block, n, y * int(grouped.stride), columns.first * int(grouped.stride)) - corner;
                row_kernel(columns.size(), int(grouped.stride), grouped.width == kLanes)(
                    {from, in.row, int(grouped.width), grouped.weights + int64_t(block) * block_weights, block,
                     row * out.width + columns.first, &grouped.epilogue, first_of_group});
            }
        }
    });
}

}  // namespace native
