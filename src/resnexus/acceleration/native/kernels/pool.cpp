#include "pool.hpp"

#include <algorithm>
#include <cstring>

namespace native {
namespace {

// Calls body(block, image, row) for every row of every block, in an order that goes from row to row.
template <typename Body>
void each_row(const Tensor& tensor, Threads& threads, const Body& body) {
    constexpr int kRows = 8;
    const int pieces = divide_up(tensor.height, kRows);
    threads.parallel(tensor.blocks * tensor.images * pieces, [&](int task, int) {
        const int block = task % tensor.blocks, piece = task / tensor.blocks % pieces, n = task / tensor.blocks / pieces;
        for (int y = piece * kRows; y < std::min(tensor.height, (piece + 1) * kRows); ++y) body(block, n, y);
    });
}

}  // namespace

void run(const Pool& pool, Threads& threads) {
    const Tensor& in = pool.in;
    const Tensor& out = pool.out;
    const int kernel = int(pool.kernel), stride = int(pool.stride), padding = int(pool.padding);
    each_row(out, threads, [&](int block, int n, int y) {
        const int top = std::max(0, y * stride - padding), bottom = std::min(in.height, y * stride - padding + kernel);
        for (int x = 0; x < out.width; ++x) {
            const int left = std::max(0, x * stride - padding);
            const int right = std::min(in.width, x * stride - padding + kernel);
            Vec result = pool.maximum ? load(in.at(block, n, top, left)) : Vec{};
            for (int v = top; v < bottom; ++v) {
                for (int u = left; u < right; ++u) {
                    const Vec value = load(in.at(block, n, v, u));
                    result = pool.maximum ? max_or_nan(result, value) : result + value;
                }
            }
            const int counted = pool.counts_padding ? kernel * kernel : (bottom - top) * (right - left);
            store(out.at(block, n, y, x), pool.maximum ? result : result * broadcast(1.0f / float(counted)));
        }
    });
}

void run(const Mean& mean, Threads& threads) {
    const Tensor& in = mean.in;
    threads.parallel(in.blocks * in.images, [&](int task, int) {
        const int n = task % in.images, block = task / in.images;
        Vec sums[4] = {};  // independent chains of additions
        for (int y = 0; y < in.height; ++y) {
            const float* row = in.at(block, n, y, 0);
            for (int x = 0; x < in.width; ++x) sums[x % 4] += load(row + x * in.pixel);
        }
        const Vec total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        store(mean.out.at(block, n, 0, 0), total * broadcast(1.0f / float(in.height * in.width)));
    });
}

void run(const Gated& gated, Threads& threads) {
    const Tensor& out = gated.out;
    each_row(out, threads, [&](int block, int n, int y) {
        const Vec gate = load(gated.gate.at(block, n, 0, 0));
        for (int x = 0; x < out.width; ++x) {
            const Vec value = gate * load(gated.in.at(block, n, y, x)) + load(gated.residual.at(block, n, y, x));
            store(out.at(block, n, y, x), max(value, Vec{}));
        }
    });
}

void read_images(const float* images, const Tensor& to, Threads& threads) {
    threads.parallel(to.images * to.blocks, [&](int task, int) {
        const int n = task / to.blocks, channel = task % to.blocks;
        const float* from = images + int64_t(task) * to.height * to.width;
        for (int y = 0; y < to.height; ++y, from += to.width) {
            std::memcpy(to.at(channel, n, y, 0), from, to.width * sizeof(float));
        }
    });
}

void run(const Write& write, float* const* outputs, Threads& threads) {
    const Tensor& in = write.in;
    const int64_t plane = int64_t(in.height) * in.width;
    float* output = outputs[write.output] + write.first * write.channels * plane;
    each_row(in, threads, [&](int block, int n, int y) {
        const int lanes = std::min(kLanes, int(write.channels) - block * kLanes);
        const float* from = in.at(block, n, y, 0);
        float* to = output + (n * write.channels + block * kLanes) * plane + int64_t(y) * in.width;
        for (int lane = 0; lane < lanes; ++lane, to += plane) {
            for (int x = 0; x < in.width; ++x) to[x] = from[int64_t(x) * in.pixel + lane];
        }
    });
}

}  // namespace native
