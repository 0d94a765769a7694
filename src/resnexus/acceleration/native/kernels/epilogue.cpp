#include "epilogue.hpp"

#include <cmath>

namespace native {

Vec sigmoid(Vec value) {
    Vec result;
    for (int lane = 0; lane < kLanes; ++lane) result[lane] = 1.0f / (1.0f + std::exp(-value[lane]));
    return result;
}

Epilogue prepared(Epilogue epilogue) {
    const Tensor &out = epilogue.out, &residual = epilogue.residual;
    epilogue.least = Activation(epilogue.activation) == Activation::kRelu ? 0.0f : -INFINITY;
    epilogue.simple = !epilogue.onward.data &&
                      Activation(epilogue.activation) != Activation::kSigmoid &&
                      (!residual.data ||
                       (residual.pixel == out.pixel && residual.row == out.row && (out.images == 1 || residual.image == out.image)));
    epilogue.dense = out.row == out.width * out.pixel && (out.images == 1 || out.image == out.height * out.row);
    return epilogue;
}

}  // namespace native
