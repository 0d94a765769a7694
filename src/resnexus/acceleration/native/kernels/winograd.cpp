#include "winograd.hpp"

#include <algorithm>

#include "slice.hpp"

namespace native {
namespace {

constexpr int kOut = 4, kIn = 6, kPositions = kIn * kIn;
// The points of the interpolation are 0, +-kA, +-kB and infinity; the weights were transformed with the same.
constexpr float kA = 0.75f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;

// B^T d.
inline void transform_in(const Vec (&d)[kIn], Vec (&t)[kIn]) {
    const Vec even_a = d[4] - kB2 * d[2], odd_a = kA * (d[3] - kB2 * d[1]);
    const Vec even_b = d[4] - kA2 * d[2], odd_b = kB * (d[3] - kA2 * d[1]);
    t[0] = kA2 * kB2 * d[0] - (kA2 + kB2) * d[2] + d[4];
    t[1] = even_a + odd_a;
    t[2] = even_a - odd_a;
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = kA2 * kB2 * d[1] - (kA2 + kB2) * d[3] + d[5];
}

// A^T m.
inline void transform_out(const Vec (&m)[kIn], Vec (&y)[kOut]) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2];
    const Vec even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = kA * odd_a + kB * odd_b;
    y[2] = kA2 * even_a + kB2 * even_b;
    y[3] = kA3 * odd_a + kB3 * odd_b + m[5];
}

struct Grid {
    int rows, columns;  // tiles per image

    explicit Grid(const Tensor& out) : rows(divide_up(out.height, kOut)), columns(divide_up(out.width, kOut)) {}
    Cursor at(const Tensor& out, int tile) const {
        Cursor cursor(out, 0);
        cursor.n = tile / (rows * columns);
        cursor.y = tile / columns % rows * kOut;
        cursor.x = tile % columns * kOut;
        return cursor;
    }
};

// Writes [36][tile][16] of one channel block; a position takes `position` floats.
void transform_block(const Winograd& winograd, int block, int first, int last, float* to, int64_t position) {
    const Tensor& in = winograd.in;
    const Grid grid(winograd.epilogue.out);
    for (int tile = first; tile < last; ++tile, to += kLanes) {
        const Cursor at = grid.at(winograd.epilogue.out, tile);
        const float* from = in.at(block, at.n, at.y, at.x) - in.row - in.pixel;
        Vec columns[kIn][kIn];  // [column][row], transformed along the rows
#pragma GCC unroll 6
        for (int x = 0; x < kIn; ++x) {
            Vec d[kIn];
#pragma GCC unroll 6
            for (int y = 0; y < kIn; ++y) d[y] = load(from + y * in.row + x * kLanes);
            transform_in(d, columns[x]);
        }
#pragma GCC unroll 6
        for (int y = 0; y < kIn; ++y) {
            Vec d[kIn], t[kIn];
#pragma GCC unroll 6
            for (int x = 0; x < kIn; ++x) d[x] = columns[x][y];
            transform_in(d, t);
#pragma GCC unroll 6
            for (int x = 0; x < kIn; ++x) store(to + (y * kIn + x) * position, t[x]);
        }
    }
}

// From [36][tile][32] of one panel.
void transform_products(const Winograd& winograd, int panel, int first, int last, const float* products) {
    const Epilogue& epilogue = winograd.epilogue;
    const Tensor& out = epilogue.out;
    const Grid grid(out);
    const int64_t position = int64_t(last - first) * kPanel;
    for (int v = 0; v < std::min(kPanelVectors, out.blocks - panel * kPanelVectors); ++v) {
        const int block = panel * kPanelVectors + v;
        const Vec bias = bias_of(epilogue, block);
        for (int tile = first; tile < last; ++tile) {
            const float* from = products + (tile - first) * kPanel + v * kLanes;
            Vec columns[kIn][kOut];
#pragma GCC unroll 6
            for (int x = 0; x < kIn; ++x) {
                Vec m[kIn];
#pragma GCC unroll 6
                for (int y = 0; y < kIn; ++y) m[y] = load(from + (y * kIn + x) * position);
                transform_out(m, columns[x]);
            }
            const Cursor corner = grid.at(out, tile);
#pragma GCC unroll 4
            for (int y = 0; y < kOut; ++y) {
                Vec m[kIn], row[kOut];
#pragma GCC unroll 6
                for (int x = 0; x < kIn; ++x) m[x] = columns[x][y];
                transform_out(m, row);
                if (corner.y + y >= out.height) break;
#pragma GCC unroll 4
                for (int x = 0; x < kOut; ++x) {
                    Cursor at = corner;
                    at.y += y;
                    at.x += x;
                    if (at.x < out.width) finish(epilogue, row[x] + bias, block, at);
                }
            }
        }
    }
}

// Multiplies the transformed tiles of a chunk by one panel of weights, position by position.
void multiply(const Winograd& winograd, int panel, const float* transformed, int tiles, float* products) {
    const int vectors = std::min(kPanelVectors, winograd.epilogue.out.blocks - panel * kPanelVectors);
    const int64_t blocks = winograd.in.blocks;
    const int64_t position = blocks * tiles * kLanes;
    const int pieces = divide_up(tiles, kTileRows);
    std::vector<int32_t> offsets(winograd.depth);
    for (int k = 0; k < winograd.depth; ++k) {
        const int channel = winograd.channels[k];
        offsets[k] = channel / kLanes * tiles * kLanes + channel % kLanes;
    }
    Epilogue plain{};
    plain.out.blocks = kPanelVectors;
    plain.out.images = plain.out.height = 1;
    plain.out.width = tiles;
    plain.out.pixel = kPanel;
    plain.out.row = plain.out.image = tiles * kPanel;
    plain.out.block = kLanes;
    plain = prepared(plain);
    std::vector<Places> places(pieces);
    for (int piece = 0; piece < pieces; ++piece) {
        const Slice rows = slice(tiles, piece, pieces);
        places[piece] = places_of(plain.out, rows.first, rows.size());
    }
    for (int p = 0; p < kPositions; ++p) {
        const float* b = winograd.weights + (int64_t(panel) * kPositions + p) * winograd.depth * kPanel;
        plain.out.data = products + int64_t(p) * tiles * kPanel;
        for (int piece = 0; piece < pieces; ++piece) {
            const Slice rows = slice(tiles, piece, pieces);
            const float* ahead = ahead_of(b, int(winograd.depth), piece, pieces);
            tile_kernel(rows.size(), 1, kLanes, vectors)(
                {transformed + p * position + rows.first * kLanes, 0, offsets.data(), int(winograd.depth), b, ahead, 0,
                 rows.first, &places[piece], &plain});
        }
    }
}

constexpr int64_t kFloats = 112 << 10;  // transformed tiles that fit a second-level cache beside the weights
constexpr int kMostTiles = 56;
constexpr int kFewestTiles = kTileRows - 2;  // that weights are worth reading for
constexpr int kMostTransforms = 4;  // of one chunk, by as many threads: beyond that it is cut smaller

// How the tiles are cut into chunks, and the panels into pieces. Every thread transforms its chunks: to read what
// another thread has just written takes longer where two cores have no cache in common.
struct Cut {
    int tiles, chunks, pieces;

    Cut(const Winograd& winograd, int threads) {
        const Grid grid(winograd.epilogue.out);
        tiles = winograd.epilogue.out.images * grid.rows * grid.columns;
        const int fitting = int(kFloats / (kPositions * kLanes * winograd.in.blocks));
        const int size = std::min(fitting, divide_up(tiles, 2 * threads));
        if (size >= kFewestTiles) {  // few channels: all weights for every chunk
            chunks = divide_up(tiles, size * threads) * threads;
            pieces = 1;
        } else {  // many: as few chunks as can be, and each thread its own weights
            const int shares = std::min(threads / kMostTransforms, 2 * tiles / kTileRows);
            chunks = std::max(divide_up(tiles, kMostTiles), shares);
            pieces = int(winograd.panels);
        }
    }
};

}  // namespace

void run(const Winograd& winograd, Scratch& scratch, Threads& threads) {
    const Cut cut(winograd, threads.count());
    const int blocks = winograd.in.blocks, panels = int(winograd.panels);
    std::vector<int> latest(threads.count(), -1);  // chunk that a thread has transformed
    threads.parallel(cut.chunks * cut.pieces, [&](int task, int thread) {
        const int index = task / cut.pieces, piece = task % cut.pieces;
        const Slice chunk = slice(cut.tiles, index, cut.chunks), own = slice(panels, piece, cut.pieces);
        const int64_t position = int64_t(blocks) * chunk.size() * kLanes;
        float* transformed = at_least(scratch.transformed[thread], kPositions * position);
        float* products = at_least(scratch.products[thread], int64_t(kPositions) * chunk.size() * kPanel);
        if (latest[thread] != index) {
            for (int block = 0; block < blocks; ++block) {
                float* to = transformed + int64_t(block) * chunk.size() * kLanes;
                transform_block(winograd, block, chunk.first, chunk.last, to, position);
            }
            latest[thread] = index;
        }
        for (int panel = own.first; panel < own.last; ++panel) {
            multiply(winograd, panel, transformed, chunk.size(), products);
            transform_products(winograd, panel, chunk.first, chunk.last, products);
        }
    });
}

}  // namespace native
