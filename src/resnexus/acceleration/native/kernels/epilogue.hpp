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
    bool simple;   // neither gate nor onward nor sigmoid, and a residual that lies as the result does
    bool dense;    // all pixels of the result lie at equal distances
};

Epilogue prepared(Epilogue epilogue);
Vec sigmoid(Vec value);

inline void finish(const Epilogue& epilogue, Vec value, int block, const Cursor& at) {
    if (epilogue.gate.data) value *= load(epilogue.gate.at(block, at.n, at.y, at.x));
    if (epilogue.residual.data) value += load(epilogue.residual.at(block, at.n, at.y, at.x));
    const auto activation = Activation(epilogue.activation);
    if (activation == Activation::kRelu) value = max(value, Vec{});
    if (activation == Activation::kSigmoid) value = sigmoid(value);
    store(epilogue.out.at(block, at.n, at.y, at.x), value);
    if (epilogue.onward.data) {
        float* onward = epilogue.onward.at(block, at.n, at.y, at.x);
        store(onward, load(onward) + value);
    }
}

inline Vec bias_of(const Epilogue& epilogue, int block) {
    return epilogue.bias ? load(epilogue.bias + block * kLanes) : Vec{};
}

}  // namespace native
