// Memory for what a layer computes on the way to its result, kept between calls.
#pragma once

#include <cstdint>
#include <vector>

namespace native {

struct Scratch {
    explicit Scratch(int threads) : transformed(threads), products(threads) {}

    std::vector<std::vector<float>> transformed, products;  // per thread
};

inline float* at_least(std::vector<float>& memory, int64_t floats) {
    if (int64_t(memory.size()) < floats) memory.resize(floats);
    return memory.data();
}

}  // namespace native
