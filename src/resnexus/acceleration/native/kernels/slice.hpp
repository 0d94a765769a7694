// A whole cut into parts that differ by one at most.
#pragma once

#include <cstdint>

namespace native {

struct Slice {
    int first, last;  // the last one is not in it
    int size() const { return last - first; }
};

inline Slice slice(int whole, int index, int count) {
    return {int(int64_t(whole) * index / count), int(int64_t(whole) * (index + 1) / count)};
}

}  // namespace native
