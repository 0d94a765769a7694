#include "strassen.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "accumulate.hpp"
#include "places.hpp"
#include "slice.hpp"

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

// Consecutive pixels that are multiplied on their own: the first `half` of them are the upper half of the matrix.
struct Range {
    int first, half;
};

// Floats of one of the five sums of a range: [blocks / 2][half][16].
int64_t sum_of(const Tensor& in, const Range& range) { return int64_t(in.blocks / 2) * range.half * kLanes; }

// Writes the five sums of one block of each half, one after another.
void add_halves(const Tensor& in, const Range& range, int block, float* to) {
    const int half_blocks = in.blocks / 2;
    const float* a11 = in.data + int64_t(block) * in.block + int64_t(range.first) * kLanes;
    const float* a12 = a11 + int64_t(half_blocks) * in.block;
    const float* a21 = a11 + int64_t(range.half) * kLanes;
    const float* a22 = a12 + int64_t(range.half) * kLanes;
    const int64_t sum = sum_of(in, range);
    to += int64_t(block) * range.half * kLanes;
    for (int64_t i = 0; i < int64_t(range.half) * kLanes; i += kLanes) {
        const Vec v11 = load(a11 + i), v12 = load(a12 + i), v21 = load(a21 + i), v22 = load(a22 + i);
        store(to + i, v11 + v22);
        store(to + sum + i, v21 + v22);
        store(to + 2 * sum + i, v11 + v12);
        store(to + 3 * sum + i, v21 - v11);
        store(to + 4 * sum + i, v12 - v22);
    }
}

// A range whose sums are known, to be multiplied by panels of weights.
class Multiplication {
public:
    Multiplication(const Strassen& strassen, const Range& range, int index, std::vector<float>& memory)
        : index(index),
          strassen_(strassen),
          range_(range),
          rows_(divide_up(range.half, kTileRows)),
          sums_(at_least(memory, kSums * sum_of(strassen.in, range))) {
        const Tensor& in = strassen.in;
        for (int block = 0; block < in.blocks / 2; ++block) add_halves(in, range, block, sums_);
        const int depth = int(strassen.depth);
        direct_.resize(depth);
        summed_.resize(depth);
        for (int k = 0; k < depth; ++k) {
            const int block = strassen.channels[k] / kLanes, lane = strassen.channels[k] % kLanes;
            direct_[k] = block * in.block + lane;
            summed_[k] = block * range.half * kLanes + lane;
        }
        places_.resize(rows_);
        for (int row = 0; row < rows_; ++row) {
            for (int h = 0; h < 2; ++h) {
                places_[row][h] = places_of(strassen.epilogue.out, pixel(row) + h * range.half, pixels(row));
            }
        }
    }

    // Finishes two panels of output channels, one per half of them.
    void run(int panel, std::vector<float>& memory) const {
        const Tensor& in = strassen_.in;
        constexpr int64_t kQuadrant = kTileRows * kPanel;
        float* quadrants = at_least(memory, rows_ * kQuadrants * kQuadrant);
        const float* upper = in.data + int64_t(range_.first) * kLanes;
        const float* lower_right = upper + int64_t(in.blocks / 2) * in.block + int64_t(range_.half) * kLanes;
        Product product;
        product.depth = int(strassen_.depth);
        product.epilogue = &strassen_.epilogue;
        for (int h = 0; h < 2; ++h) product.block[h] = panel * kPanelVectors + h * strassen_.epilogue.out.blocks / 2;
        for (int p = 0; p < kProducts; ++p) {
            const bool is_sum = kSumOf[p] >= 0;
            const float* summed = sums_ + kSumOf[p] * sum_of(in, range_);
            const float* a = is_sum ? summed : p == 3 ? lower_right : upper;
            product.offsets = is_sum ? summed_.data() : direct_.data();
            product.b = strassen_.weights + (int64_t(panel) * kProducts + p) * product.depth * kPanel;
            product.targets = kTargets[p];
            for (int row = 0; row < rows_; ++row) {
                product.a = a + int64_t(pixel(row) - range_.first) * kLanes;
                product.ahead = ahead_of(product.b, product.depth, row, rows_);
                for (int q = 0; q < kQuadrants; ++q) {
                    product.quadrants[q] = quadrants + (row * kQuadrants + q) * kQuadrant;
                }
                product.places = places_[row].data();
                for (int h = 0; h < 2; ++h) product.pixel[h] = pixel(row) + h * range_.half;
                kKernels[pixels(row) - 1](product);
            }
        }
    }

    const int index;  // of the range

private:
    int pixel(int row) const { return range_.first + slice(range_.half, row, rows_).first; }
    int pixels(int row) const { return slice(range_.half, row, rows_).size(); }

    const Strassen& strassen_;
    const Range range_;
    const int rows_;  // of tiles
    float* sums_;
    std::vector<int32_t> direct_, summed_;  // per element of the reduction, floats from the start of a row to it
    std::vector<std::array<Places, 2>> places_;
};

// Panels of weights: each finishes two panels of output channels.
int panels_of(const Strassen& strassen) { return strassen.epilogue.out.blocks / (2 * kPanelVectors); }

// Sums that stay in a second-level cache beside weights that fit it, too, and beside weights that pass through it.
constexpr int64_t kFloatsBesideWeights = 64 << 10, kFloats = 256 << 10;
constexpr int64_t kSmallWeights = 256 << 10;
constexpr int kFewestRows = 3;  // of tiles, that weights which pass through a cache serve
constexpr int kTasksPerThread = 4;

// How the pixels are cut into ranges, and the panels into pieces. Every thread works out the sums of its ranges: to
// read what another thread has just written takes longer where two cores have no cache in common.
struct Cut {
    int pairs, ranges, pieces;

    Cut(const Strassen& strassen, int threads) : pairs(strassen.in.pixels() / 2) {
        const int panels = panels_of(strassen);
        const bool small = int64_t(panels) * kProducts * strassen.depth * kPanel <= kSmallWeights;
        const int64_t row = kSums * int64_t(strassen.in.blocks / 2) * kLanes * kTileRows;
        const int rows = divide_up(pairs, kTileRows);
        const int fitting = std::max(1, int((small ? kFloatsBesideWeights : kFloats) / row));
        const int own = std::min(threads, rows / kFewestRows), needed = std::min(rows, divide_up(threads, panels));
        ranges = std::max({divide_up(rows, fitting), own, needed});
        pieces = threads == 1 ? 1 : std::min(panels, divide_up(kTasksPerThread * threads, ranges));
    }

    Range range(int index) const {
        const Slice own = slice(pairs, index, ranges);
        return {2 * own.first, own.size()};
    }
};

}  // namespace

void run(const Strassen& strassen, Scratch& scratch, Threads& threads) {
    const Cut cut(strassen, threads.count());
    const int panels = panels_of(strassen);
    std::vector<std::unique_ptr<const Multiplication>> latest(threads.count());
    threads.parallel(cut.ranges * cut.pieces, [&](int task, int thread) {
        const int index = task / cut.pieces, piece = task % cut.pieces;
        auto& product = latest[thread];
        if (!product || product->index != index) {
            product.reset();  // its sums lie where those of the next go, also if there is no memory for that
            product = std::make_unique<Multiplication>(strassen, cut.range(index), index, scratch.transformed[thread]);
        }
        const Slice own = slice(panels, piece, cut.pieces);
        for (int panel = own.first; panel < own.last; ++panel) product->run(panel, scratch.products[thread]);
    });
}

}  // namespace native
