// Sixteen float32 lanes: the vector that every kernel and the memory layout are built on.
#pragma once

#include <cstdint>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace native {

constexpr int kLanes = 16;

using Vec = float __attribute__((vector_size(64)));
using Indices = int32_t __attribute__((vector_size(64)));
using UnalignedVec = float __attribute__((vector_size(64), aligned(4)));

inline Vec load(const float* from) { return *reinterpret_cast<const UnalignedVec*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<UnalignedVec*>(to) = value; }

inline Vec broadcast(float value) {
#if defined(__AVX512F__)
    return (Vec)_mm512_set1_ps(value);
#else
    return Vec{} + value;
#endif
}

// The larger; `a` if that is no number.
inline Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
    return (Vec)_mm512_maskz_max_ps(0xffff, (__m512)b, (__m512)a);
#else
    return b > a ? b : a;
#endif
}

// The larger; no number if one of them is none.
inline Vec max_or_nan(Vec a, Vec b) { return b == b ? max(a, b) : b; }

// Lane i of the result is lane which[i] of `from`.
inline Vec permute(Vec from, Indices which) {
#if defined(__AVX512F__)
    return (Vec)_mm512_permutexvar_ps((__m512i)which, (__m512)from);
#else
    Vec result;
    for (int lane = 0; lane < kLanes; ++lane) result[lane] = from[which[lane]];
    return result;
#endif
}

}  // namespace native
