// What happens to the result of a convolution before it is stored.
#pragma once

#include "tensor.hpp"

namespace native {

enum class Activation : int32_t { kNone = 0, kRelu = 1, kSigmoid = 2 };

// activation(gate * (sum + bias) + residual). Absent tensors have no data.
struct Epilogue {
    const float* bias;  // per output channel, or null
    int64_t activation;
    Tensor out;
    Tensor residual;
    Tensor gate;    // one value per image and channel
    Tensor onward;  // the result is added to what is there
    // Derived by `prepared`:
    float least;   // 0 for ReLU, else minus infinity
    bool simple;   // neither onward nor sigmoid, and a residual that lies as the result does
    bool dense;    // all pixels of the result lie at equal distances
};

Epilogue prepared(Epilogue epilogue);
Vec sigmoid(Vec value);

inline void finish(const Epilogue& epilogue, Vec value, int block, const Cursor& at) {
    // One expression, which is rounded as in the ends of tiles that are finished alike: an image must not come out
    // differently where a tile holds the end of another.
    const Vec gate = epilogue.gate.data ? load(epilogue.gate.at(block, at.n, at.y, at.x)) : broadcast(1.0f);
    const Vec residual = epilogue.residual.data ? load(epilogue.residual.at(block, at.n, at.y, at.x)) : Vec{};
    value = value * gate + residual;
    const auto activation = Activation(epilogue.activation);
    if (activation == Activation::kRelu) value = max(value, Vec{});
    if (activation == Activation::kSigmoid) value = sigmoid(value);
    store(epilogue.out.at(block, at.n, at.y, at.x), value);
    if (epilogue.onward.data) {
        float* onward = epilogue.onward.at(block, at.n, at.y, at.x);
        store(onward, load(onward) + value);
    }
}

// Whether consecutive pixels of the result can be finished alike: `simple`, and all under the same gate.
inline bool is_uniform(const Epilogue& epilogue, int first_pixel, int pixels) {
    if (!epilogue.simple) return false;
    const int image = epilogue.out.height * epilogue.out.width;
    return !epilogue.gate.data || epilogue.out.images == 1 || first_pixel / image == (first_pixel + pixels - 1) / image;
}

// The gate of the image that holds a pixel, or 1.
inline Vec gate_of(const Epilogue& epilogue, int block, int pixel) {
    if (!epilogue.gate.data) return broadcast(1.0f);
    return load(epilogue.gate.at(block, pixel / (epilogue.out.height * epilogue.out.width), 0, 0));
}

inline Vec bias_of(const Epilogue& epilogue, int block) {
    return epilogue.bias ? load(epilogue.bias + block * kLanes) : Vec{};
}

}  // namespace native
