#include "strassen.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "accumulate.hpp"
#include "pairs.hpp"
#include "slice.hpp"

namespace native {
namespace {

constexpr int kProducts = 7, kQuadrants = 4;

// The left factors: A11 + A22, A21 + A22, A11, A22, A11 + A12, A21 - A11, A12 - A22. Those that are no sum are read
// where they lie; `kSumOf` numbers the others.
constexpr int kUpper = 2, kLower = 3;
constexpr int kSumOf[kProducts] = {0, 1, -1, -1, 2, 3, 4};

// Sums of the left factors; where an image is odd, the pixels of its upper half lie at equal distances only in a copy,
// which counts as one more.
constexpr int kSums = 5;
int sums_of(const Pairing& pairing) { return pairing.odd() ? kSums + 1 : kSums; }

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
    const Pairs* pairs;
    const Epilogue* epilogue;
};

// The general end of a tile, for what is rare or small.
template <int Rows>
__attribute__((noinline)) void finish_any(const Vec (&sums)[Rows][kPanelVectors], const Product& product, int quadrant) {
    const Epilogue& epilogue = *product.epilogue;
    for (int v = 0; v < kPanelVectors; ++v) {
        const int block = product.block[quadrant % 2] + v;
        const Vec bias = bias_of(epilogue, block);
        for (int r = 0; r < Rows; ++r) {
            const Cursor at(epilogue.out, product.pairs->pixels[quadrant / 2][r]);
            finish(epilogue, sums[r][v] + load(product.quadrants[quadrant] + r * kPanel + v * kLanes) + bias, block, at);
        }
    }
}

template <int Rows>
inline __attribute__((always_inline)) void finish_simple(const Vec (&sums)[Rows][kPanelVectors], const Product& product,
                                                         int quadrant) {
    const Epilogue& epilogue = *product.epilogue;
    const float* so_far = product.quadrants[quadrant];
    const Places& places = product.pairs->places[quadrant / 2];
    const Vec least = broadcast(epilogue.least);
    const int64_t block = product.block[quadrant % 2];
    float* out = epilogue.out.data + block * epilogue.out.block;
    const float* residual = epilogue.residual.data + block * epilogue.residual.block;
#pragma GCC unroll 2
    for (int v = 0; v < kPanelVectors; ++v, out += epilogue.out.block, residual += epilogue.residual.block) {
        const Vec gate = gate_of(epilogue, int(block) + v, product.pairs->pixels[0][0]);
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
    const Places& places = product.pairs->places[quadrant / 2];
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
            if (product.epilogue->simple) {
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

// Some tiles whose sums are known, to be multiplied by panels of weights.
class Multiplication {
public:
    Multiplication(const Strassen& strassen, Slice tiles, int index, std::vector<float>& memory)
        : index(index), strassen_(strassen), pairing_(strassen.in) {
        const Tensor& in = strassen.in;
        for (int tile = tiles.first; tile < tiles.last; ++tile) {
            tiles_.emplace_back(pairing_, strassen.epilogue.out, tile, pairs_);
            pairs_ += tiles_.back().count;
        }
        sums_ = at_least(memory, sums_of(pairing_) * sum());
        for (int block = 0; block < in.blocks / 2; ++block) add_halves(block);
        const int depth = int(strassen.depth);
        direct_.resize(depth);
        summed_.resize(depth);
        for (int k = 0; k < depth; ++k) {
            const int block = strassen.channels[k] / kLanes, lane = strassen.channels[k] % kLanes;
            direct_[k] = block * in.block + lane;
            summed_[k] = block * pairs_ * kLanes + lane;
        }
    }

    // Finishes two panels of output channels, one per half of them.
    void run(int panel, std::vector<float>& memory) const {
        constexpr int64_t kQuadrant = kTileRows * kPanel;
        const int count = int(tiles_.size());
        float* quadrants = at_least(memory, count * kQuadrants * kQuadrant);
        Product product;
        product.depth = int(strassen_.depth);
        product.epilogue = &strassen_.epilogue;
        for (int h = 0; h < 2; ++h) product.block[h] = panel * kPanelVectors + h * strassen_.epilogue.out.blocks / 2;
        for (int p = 0; p < kProducts; ++p) {
            const int sum = p == kUpper && pairing_.odd() ? kSums : kSumOf[p];
            product.offsets = sum >= 0 ? summed_.data() : direct_.data();
            product.b = strassen_.weights + (int64_t(panel) * kProducts + p) * product.depth * kPanel;
            product.targets = kTargets[p];
            for (int t = 0; t < count; ++t) {
                product.pairs = &tiles_[t];
                product.a = sum >= 0 ? row_of_sum(sum, tiles_[t]) : row_of_half(p == kLower, tiles_[t]);
                product.ahead = ahead_of(product.b, product.depth, t, count);
                for (int q = 0; q < kQuadrants; ++q) {
                    product.quadrants[q] = quadrants + (t * kQuadrants + q) * kQuadrant;
                }
                kKernels[tiles_[t].count - 1](product);
            }
        }
    }

    const int index;  // of the range

private:
    // Floats of one sum: [blocks / 2][pairs][16].
    int64_t sum() const { return int64_t(strassen_.in.blocks / 2) * pairs_ * kLanes; }
    const float* row_of_sum(int number, const Pairs& pairs) const {
        return sums_ + number * sum() + int64_t(pairs.before) * kLanes;
    }
    // Where the first pixel of a tile lies in the upper left or the lower right quarter of the matrix.
    const float* row_of_half(bool lower, const Pairs& pairs) const {
        const Tensor& in = strassen_.in;
        return in.data + int64_t(pairs.pixels[lower][0]) * kLanes + (lower ? int64_t(in.blocks / 2) * in.block : 0);
    }

    // Writes the sums of one block of each half, one after another.
    void add_halves(int block) {
        const Tensor& in = strassen_.in;
        const float* left = in.data + int64_t(block) * in.block;
        const float* right = left + int64_t(in.blocks / 2) * in.block;
        const int64_t next = sum();
        float* to = sums_ + int64_t(block) * pairs_ * kLanes;
        for (const Pairs& pairs : tiles_) {
            for (int r = 0; r < pairs.count; ++r, to += kLanes) {
                const int64_t upper = int64_t(pairs.pixels[0][r]) * kLanes, lower = int64_t(pairs.pixels[1][r]) * kLanes;
                const Vec v11 = load(left + upper), v12 = load(right + upper);
                const Vec v21 = load(left + lower), v22 = load(right + lower);
                store(to, v11 + v22);
                store(to + next, v21 + v22);
                store(to + 2 * next, v11 + v12);
                store(to + 3 * next, v21 - v11);
                store(to + 4 * next, v12 - v22);
                if (pairing_.odd()) store(to + kSums * next, v11);
            }
        }
    }

    const Strassen& strassen_;
    const Pairing pairing_;
    std::vector<Pairs> tiles_;
    int pairs_ = 0;  // of all tiles
    float* sums_;
    std::vector<int32_t> direct_, summed_;  // per element of the reduction, floats from the start of a row to it
};

// Panels of weights: each finishes two panels of output channels.
int panels_of(const Strassen& strassen) { return strassen.epilogue.out.blocks / (2 * kPanelVectors); }

// Sums that stay in a second-level cache beside weights that fit it, too, and beside weights that pass through it.
constexpr int64_t kFloatsBesideWeights = 64 << 10, kFloats = 256 << 10;
constexpr int64_t kSmallWeights = 256 << 10;
constexpr int kFewestTiles = 3;  // that weights which pass through a cache serve
constexpr int kTasksPerThread = 4;

// How the tiles are cut into ranges, and the panels into pieces. Every thread works out the sums of its ranges: to
// read what another thread has just written takes longer where two cores have no cache in common.
struct Cut {
    int tiles, ranges, pieces;

    Cut(const Strassen& strassen, int threads) {
        const Pairing pairing(strassen.in);
        tiles = strassen.in.images * pairing.tiles;
        const int panels = panels_of(strassen);
        const bool small = int64_t(panels) * kProducts * strassen.depth * kPanel <= kSmallWeights;
        const int64_t tile = sums_of(pairing) * int64_t(strassen.in.blocks / 2) * kLanes * kTileRows;
        const int fitting = std::max(1, int((small ? kFloatsBesideWeights : kFloats) / tile));
        const int own = std::min(threads, tiles / kFewestTiles), needed = std::min(tiles, divide_up(threads, panels));
        ranges = std::max({divide_up(tiles, fitting), own, needed});
        pieces = threads == 1 ? 1 : std::min(panels, divide_up(kTasksPerThread * threads, ranges));
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
            const Slice range = slice(cut.tiles, index, cut.ranges);
            product = std::make_unique<Multiplication>(strassen, range, index, scratch.transformed[thread]);
        }
        const Slice own = slice(panels, piece, cut.pieces);
        for (int panel = own.first; panel < own.last; ++panel) product->run(panel, scratch.products[thread]);
    });
}

}  // namespace native
