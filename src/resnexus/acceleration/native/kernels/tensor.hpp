// Activations in memory: [channels / 16][images][rows][columns][16 channels], rows and images possibly with a border.
#pragma once

#include <cstdint>

#include "simd.hpp"

namespace native {

inline int divide_up(int a, int b) { return (a + b - 1) / b; }

// Strides are in floats. A gate (one value per image and channel) has pixel = row = 0.
struct Tensor {
    float* data;  // block 0, image 0, row 0, column 0, behind the border if there is one
    int32_t blocks, images, height, width;
    int32_t pixel, row, image, block;

    float* at(int b, int n, int y, int x) const {
        return data + int64_t(b) * block + int64_t(n) * image + int64_t(y) * row + int64_t(x) * pixel;
    }
    int pixels() const { return images * height * width; }
};

// A position among the pixels of all images, counted row by row, which steps to the next pixel.
struct Cursor {
    int n, y, x;

    Cursor(const Tensor& tensor, int pixel)
        : n(pixel / (tensor.height * tensor.width)),
          y(pixel / tensor.width % tensor.height),
          x(pixel % tensor.width) {}

    void next(const Tensor& tensor) {
        if (++x < tensor.width) return;
        x = 0;
        if (++y < tensor.height) return;
        y = 0;
        ++n;
    }
};

}  // namespace native
