#include "strassen.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "accumulate.hpp"
#include "places.hpp"

namespace native {
namespace {

constexpr int kProducts = 7, kSums = 5, kQuadrants = 4;

// The left factors: A11 + A22, A21 + A22, A11, A22, A11 + A12, A21 - A11, A12 - A22. Those that are no sum are read
// where they lie; `kSumOf` numbers the others.
constexpr int kSumOf[kProducts] = {0, 1, -1, -1, 2, 3, 4};

// What becomes of a product: it starts the sum of a quadrant of the result, is added to it or subtracted from it, or
// finishes it. Quadrants are numbered 2 * (half of the pixels) + (half of the output channels).
enum class Use { kNone, kStart, kAdd, kSubtract, kFinish };
struct Target {
    Use use;
    int quadrant;
};
constexpr Target kTargets[kProducts][2] = {
    {{Use::kStart, 0}, {Use::kStart, 3}},     // (A11 + A22)(B11 + B22)
    {{Use::kStart, 2}, {Use::kSubtract, 3}},  // (A21 + A22) B11
    {{Use::kStart, 1}, {Use::kAdd, 3}},       // A11 (B12 - B22)
    {{Use::kAdd, 0}, {Use::kFinish, 2}},      // A22 (B21 - B11)
    {{Use::kSubtract, 0}, {Use::kFinish, 1}}, // (A11 + A12) B22
    {{Use::kFinish, 3}, {Use::kNone, 0}},     // (A21 - A11)(B11 + B12)
    {{Use::kFinish, 0}, {Use::kNone, 0}},     // (A12 - A22)(B21 + B22)
};

struct Product {
    const float* a;  // row 0
    const int32_t* offsets;
    int depth;
    const float* b;
    const float* ahead;
    const Target* targets;
    float* quadrants[kQuadrants];  // [rows][32]: sums so far
    int block[2];                  // of output channels, per half
    int pixel[2];                  // of the result, per half
    const Places* places;          // per half of the pixels
    const Epilogue* epilogue;
};

// The general end of a tile, for what is rare or small.
template <int Rows>
__attribute__((noinline)) void finish_any(const Vec (&sums)[Rows][kPanelVectors], const Product& product, int quadrant) {
    const Epilogue& epilogue = *product.epilogue;
    for (int v = 0; v < kPanelVectors; ++v) {
        const int block = product.block[quadrant % 2] + v;
        const Vec bias = bias_of(epilogue, block);
        Cursor cursor(epilogue.out, product.pixel[quadrant / 2]);
        for (int r = 0; r < Rows; ++r) {
            finish(epilogue, sums[r][v] + load(product.quadrants[quadrant] + r * kPanel + v * kLanes) + bias, block, cursor);
            cursor.next(epilogue.out);
        }
    }
}

template <int Rows>
inline __attribute__((always_inline)) void finish_simple(const Vec (&sums)[Rows][kPanelVectors], const Product& product,
                                                         int quadrant) {
    const Epilogue& epilogue = *product.epilogue;
    const float* so_far = product.quadrants[quadrant];
    const Places& places = product.places[quadrant / 2];
    const Vec least = broadcast(epilogue.least);
    const int64_t block = product.block[quadrant % 2];
    float* out = epilogue.out.data + block * epilogue.out.block;
    const float* residual = epilogue.residual.data + block * epilogue.residual.block;
#pragma GCC unroll 2
    for (int v = 0; v < kPanelVectors; ++v, out += epilogue.out.block, residual += epilogue.residual.block) {
        const Vec gate = gate_of(epilogue, int(block) + v, product.pixel[quadrant / 2]);
        const Vec bias = bias_of(epilogue, int(block) + v) * gate;
        if (epilogue.residual.data) {
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) {
                const Vec sum = sums[r][v] + load(so_far + r * kPanel + v * kLanes);
                store(out + places[r], max(sum * gate + (bias + load(residual + places[r])), least));
            }
        } else {
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) {
                const Vec sum = sums[r][v] + load(so_far + r * kPanel + v * kLanes);
                store(out + places[r], max(sum * gate + bias, least));
            }
        }
    }
}

template <int Rows>
void prefetch_result(const Product& product, int quadrant) {
    const Epilogue& epilogue = *product.epilogue;
    const Places& places = product.places[quadrant / 2];
    for (int v = 0; v < kPanelVectors; ++v) {
        const int64_t block = product.block[quadrant % 2] + v;
#pragma GCC unroll 1
        for (int r = 0; r < Rows; ++r) {
            __builtin_prefetch(epilogue.out.data + block * epilogue.out.block + places[r], 1);
            if (epilogue.simple && epilogue.residual.data) {
                __builtin_prefetch(epilogue.residual.data + block * epilogue.residual.block + places[r], 0);
            }
        }
    }
}

template <int Rows>
void multiply(const Product& product) {
    for (int t = 0; t < 2; ++t) {
        const Target& target = product.targets[t];
        if (target.use == Use::kFinish) prefetch_result<Rows>(product, target.quadrant);
    }
    Vec sums[Rows][kPanelVectors] = {};
    accumulate<Rows, 1, kLanes>(sums, product.a, 0, product.offsets, product.depth, product.b, product.ahead);
    keep_in_memory();
    for (int t = 0; t < 2; ++t) {
        const Target& target = product.targets[t];
        if (target.use == Use::kNone) break;
        if (target.use == Use::kFinish) {
            if (is_uniform(*product.epilogue, product.pixel[target.quadrant / 2], Rows)) {
                finish_simple<Rows>(sums, product, target.quadrant);
                continue;
            }
            Vec copy[Rows][kPanelVectors];  // so that the sums themselves never need an address
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
                for (int v = 0; v < kPanelVectors; ++v) copy[r][v] = sums[r][v];
            }
            finish_any<Rows>(copy, product, target.quadrant);
            continue;
        }
        float* to = product.quadrants[target.quadrant];
        const Vec sign = broadcast(target.use == Use::kSubtract ? -1.0f : 1.0f);
        if (target.use == Use::kStart) {
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
                for (int v = 0; v < kPanelVectors; ++v) store(to + r * kPanel + v * kLanes, sums[r][v]);
            }
        } else {
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
                for (int v = 0; v < kPanelVectors; ++v) {
                    float* place = to + r * kPanel + v * kLanes;
                    store(place, load(place) + sign * sums[r][v]);
                }
            }
        }
    }
}

using Kernel = void (*)(const Product&);

template <int... Index>
constexpr std::array<Kernel, kTileRows> by_rows(std::integer_sequence<int, Index...>) {
    return {multiply<Index + 1>...};
}

constexpr auto kKernels = by_rows(std::make_integer_sequence<int, kTileRows>());

// Writes the five sums of one block of each half: [5][blocks][pixels][16].
void add_halves(const Tensor& in, int block, int first, int pixels, float* to) {
    const int half_blocks = in.blocks / 2, half = in.pixels() / 2;
    const float* a11 = in.data + int64_t(block) * in.block + int64_t(first) * kLanes;
    const float* a12 = a11 + int64_t(half_blocks) * in.block;
    const float* a21 = a11 + int64_t(half) * kLanes;
    const float* a22 = a12 + int64_t(half) * kLanes;
    const int64_t sum = int64_t(half_blocks) * pixels * kLanes;
    to += int64_t(block) * pixels * kLanes;
    for (int64_t i = 0; i < int64_t(pixels) * kLanes; i += kLanes) {
        const Vec v11 = load(a11 + i), v12 = load(a12 + i), v21 = load(a21 + i), v22 = load(a22 + i);
        store(to + i, v11 + v22);
        store(to + sum + i, v21 + v22);
        store(to + 2 * sum + i, v11 + v12);
        store(to + 3 * sum + i, v21 - v11);
        store(to + 4 * sum + i, v12 - v22);
    }
}

constexpr int64_t kScratchFloats = 256 << 10;
constexpr int kTasksPerThread = 4;

int divide_up(int a, int b) { return (a + b - 1) / b; }

}  // namespace

void run(const Strassen& strassen, std::vector<float>& scratch, Threads& threads) {
    const Tensor& in = strassen.in;
    const int half = in.pixels() / 2, half_blocks = in.blocks / 2, depth = int(strassen.depth);
    const int panels = strassen.epilogue.out.blocks / (2 * kPanelVectors);
    const int tiles = divide_up(half, kTileRows);
    const int fitting = std::max(1, int(kScratchFloats / (kSums * int64_t(half_blocks) * kLanes * kTileRows)));
    const int chunks = divide_up(tiles, fitting);
    std::vector<int32_t> direct(depth), summed(depth);
    for (int k = 0; k < depth; ++k) {
        direct[k] = strassen.channels[k] / kLanes * in.block + strassen.channels[k] % kLanes;
    }
    for (int c = 0; c < chunks; ++c) {
        const int first = int(int64_t(half) * c / chunks), pixels = int(int64_t(half) * (c + 1) / chunks) - first;
        const int64_t sum = int64_t(half_blocks) * kLanes * pixels;
        if (int64_t(scratch.size()) < kSums * sum) scratch.resize(kSums * sum);
        for (int k = 0; k < depth; ++k) {
            summed[k] = strassen.channels[k] / kLanes * pixels * kLanes + strassen.channels[k] % kLanes;
        }
        threads.parallel(half_blocks, [&](int block, int) { add_halves(in, block, first, pixels, scratch.data()); });

        const int rows = divide_up(pixels, kTileRows);
        const int wanted = threads.count() == 1 ? 1 : kTasksPerThread * threads.count();
        const int pieces = std::min(rows, divide_up(wanted, std::max(1, panels)));
        threads.parallel(panels * pieces, [&](int task, int) {
            const int panel = task / pieces, piece = task % pieces;
            const int start_row = rows * piece / pieces, last = rows * (piece + 1) / pieces;
            thread_local std::vector<float> quadrants;
            quadrants.resize(int64_t(last - start_row) * kQuadrants * kTileRows * kPanel);
            std::vector<std::array<Places, 2>> places(last - start_row);
            for (int row = start_row; row < last; ++row) {
                const int start = int(int64_t(pixels) * row / rows), end = int(int64_t(pixels) * (row + 1) / rows);
                for (int h = 0; h < 2; ++h) {
                    places[row - start_row][h] = places_of(strassen.epilogue.out, first + start + h * half, end - start);
                }
            }
            Product product;
            product.depth = depth;
            product.epilogue = &strassen.epilogue;
            for (int h = 0; h < 2; ++h) product.block[h] = panel * kPanelVectors + h * strassen.epilogue.out.blocks / 2;
            for (int p = 0; p < kProducts; ++p) {
                const int64_t second_half = int64_t(half_blocks) * in.block + int64_t(half) * kLanes;
                const float* whole = in.data + int64_t(first) * kLanes + (p == 3 ? second_half : 0);
                const float* a = kSumOf[p] < 0 ? whole : scratch.data() + kSumOf[p] * sum;
                product.offsets = kSumOf[p] < 0 ? direct.data() : summed.data();
                product.b = strassen.weights + (int64_t(panel) * kProducts + p) * depth * kPanel;
                product.targets = kTargets[p];
                for (int row = start_row; row < last; ++row) {
                    const int start = int(int64_t(pixels) * row / rows);
                    const int end = int(int64_t(pixels) * (row + 1) / rows);
                    product.a = a + int64_t(start) * kLanes;
                    const int until_next = last - row;
                    product.ahead = product.b + (until_next > 2 ? 0 : int64_t(depth) * kLanes * (4 - until_next));
                    for (int q = 0; q < kQuadrants; ++q) {
                        product.quadrants[q] = quadrants.data() + ((row - start_row) * kQuadrants + q) * kTileRows * kPanel;
                    }
                    product.places = places[row - start_row].data();
                    for (int h = 0; h < 2; ++h) product.pixel[h] = first + start + h * half;
                    kKernels[end - start - 1](product);
                }
            }
        });
    }
}

}  // namespace native
