#include "convolution.hpp"

#include <algorithm>
#include <vector>

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
            const int first = int(int64_t(out_.pixels()) * index / count);
            const int last = int(int64_t(out_.pixels()) * (index + 1) / count);
            return {first, last - first, 1, int64_t(first) * in_.pixel, 0};
        }
        const int n = index / row_tiles_, within = index % row_tiles_;
        const int y = paired_ ? 2 * within : within / per_row_;
        const int piece = paired_ ? 0 : within % per_row_;
        const int x = out_.width * piece / per_row_, end = out_.width * (piece + 1) / per_row_;
        const int runs = paired_ && y + 1 < out_.height ? 2 : 1;
        const int64_t offset =
            int64_t(n) * in_.image + int64_t(y) * stride_ * in_.row + int64_t(x) * stride_ * in_.pixel;
        return {(n * out_.height + y) * out_.width + x, end - x, runs, offset, int64_t(stride_) * in_.row};
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
        const int first = tiles.count * c / chunks, last = tiles.count * (c + 1) / chunks;
        std::vector<Rows> rows(last - first);
        std::vector<Places> places(last - first);
        for (int t = first; t < last; ++t) {
            rows[t - first] = tiles[t];
            const Rows& tile = rows[t - first];
            places[t - first] = places_of(convolution.epilogue.out, tile.first_pixel, tile.rows * tile.runs);
        }
        for (int panel = panels * g / groups; panel < panels * (g + 1) / groups; ++panel) {
            const float* a = convolution.in.data + panel / convolution.panels_per_group * convolution.group_offset;
            const float* b = convolution.weights + panel * convolution.depth * kPanel;
            const int vectors = std::min(kPanelVectors, blocks - panel * kPanelVectors);
            for (int t = first; t < last; ++t) {
                const Rows& tile = rows[t - first];
                const int until_next = last - t;  // the last two tiles prefetch the next panel
                const float* ahead = until_next > 2 ? b : b + convolution.depth * kLanes * (4 - until_next);
                tile_kernel(tile.rows, tile.runs, pitch, vectors)(
                    {a + tile.offset, tile.run, convolution.offsets, int(convolution.depth), b, ahead,
                     panel * kPanelVectors, tile.first_pixel, &places[t - first], &convolution.epilogue});
            }
        }
    });
}

}  // namespace native
