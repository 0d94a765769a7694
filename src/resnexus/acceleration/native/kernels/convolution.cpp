#include "convolution.hpp"

#include <algorithm>
#include <vector>

#include "slice.hpp"

namespace native {
namespace {

struct Rows {
    int first_pixel, rows, runs;
    int64_t offset, run;
};

// How the pixels of the result are cut into tiles. Where the activations of all pixels lie at equal distances, tiles
// run across rows and images; elsewhere they are pieces of a row, or two short rows.
class Tiling {
public:
    explicit Tiling(const Convolution& convolution) : in_(convolution.in), out_(convolution.epilogue.out) {
        stride_ = int(convolution.stride);
        const int pitch = in_.pixel;
        flat_ = stride_ == 1 && in_.row == in_.width * pitch && (in_.images == 1 || in_.image == in_.height * in_.row) &&
                in_.width == out_.width && in_.height == out_.height;
        paired_ = !flat_ && out_.width <= kTileRows / 2;
        per_row_ = divide_up(out_.width, kTileRows);
        row_tiles_ = paired_ ? divide_up(out_.height, 2) : out_.height * per_row_;
        count = flat_ ? divide_up(out_.pixels(), kTileRows) : out_.images * row_tiles_;
    }

    Rows operator[](int index) const {
        if (flat_) {
            const Slice pixels = slice(out_.pixels(), index, count);
            return {pixels.first, pixels.size(), 1, int64_t(pixels.first) * in_.pixel, 0};
        }
        const int n = index / row_tiles_, within = index % row_tiles_;
        const int y = paired_ ? 2 * within : within / per_row_;
        const int piece = paired_ ? 0 : within % per_row_;
        const Slice columns = slice(out_.width, piece, per_row_);
        const int runs = paired_ && y + 1 < out_.height ? 2 : 1;
        const int64_t offset =
            int64_t(n) * in_.image + int64_t(y) * stride_ * in_.row + int64_t(columns.first) * stride_ * in_.pixel;
        const int first_pixel = (n * out_.height + y) * out_.width + columns.first;
        return {first_pixel, columns.size(), runs, offset, int64_t(stride_) * in_.row};
    }

    int count = 0;

private:
    const Tensor& in_;
    const Tensor& out_;
    int stride_, per_row_, row_tiles_;
    bool flat_, paired_;
};

constexpr int64_t kChunkBytes = 256 << 10;  // activations that stay in the second-level cache beside the weights
constexpr int kFewestTiles = 2;  // that weights are worth reading for
constexpr int kTasksPerThread = 4;

}  // namespace

void run(const Convolution& convolution, Threads& threads) {
    const Tiling tiles(convolution);
    const int panels = int(convolution.panels);
    const int64_t tile_bytes = kTileRows * convolution.depth * int64_t(sizeof(float));
    const int wanted = threads.count() == 1 ? 1 : kTasksPerThread * threads.count();
    const int fitting = int(std::max<int64_t>(kChunkBytes / tile_bytes, 2 * kFewestTiles));
    // As many for each thread, so that none shares pixels with another.
    const int even = divide_up(divide_up(tiles.count, fitting), threads.count()) * threads.count();
    const int chunks = std::min(even, std::max(1, tiles.count / kFewestTiles));
    const int groups = std::min(panels, divide_up(wanted, chunks));
    const int pitch = int(convolution.stride) * convolution.in.pixel;
    const int blocks = convolution.epilogue.out.blocks;
    threads.parallel(chunks * groups, [&](int task, int) {
        const int c = task / groups, g = task % groups;
        const Slice chunk = slice(tiles.count, c, chunks), own = slice(panels, g, groups);
        std::vector<Rows> rows(chunk.size());
        std::vector<Places> places(chunk.size());
        for (int t = 0; t < chunk.size(); ++t) {
            rows[t] = tiles[chunk.first + t];
            places[t] = places_of(convolution.epilogue.out, rows[t].first_pixel, rows[t].rows * rows[t].runs);
        }
        for (int panel = own.first; panel < own.last; ++panel) {
            const float* a = convolution.in.data + panel / convolution.panels_per_group * convolution.group_offset;
            const float* b = convolution.weights + panel * convolution.depth * kPanel;
            const int vectors = std::min(kPanelVectors, blocks - panel * kPanelVectors);
            for (int t = 0; t < chunk.size(); ++t) {
                const Rows& tile = rows[t];
                const float* ahead = ahead_of(b, int(convolution.depth), t, chunk.size());
                tile_kernel(tile.rows, tile.runs, pitch, vectors)(
                    {a + tile.offset, tile.run, convolution.offsets, int(convolution.depth), b, ahead,
                     panel * kPanelVectors, tile.first_pixel, &places[t], &convolution.epilogue});
            }
        }
    });
}

}  // namespace native
