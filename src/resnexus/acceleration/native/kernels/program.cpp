// A network as a list of layers, run by one call.
#include <functional>
#include <memory>
#include <vector>

#include "convolution.hpp"
#include "grouped.hpp"
#include "pool.hpp"
#include "strassen.hpp"
#include "winograd.hpp"

namespace native {
namespace {

struct Program {
    explicit Program(int count) : threads(count), scratch(count) {}

    Threads threads;
    WinogradScratch scratch;
    Tensor images{};
    Tensor logits{};
    int classes = 0;
    std::vector<std::function<void()>> layers;
};

template <typename Layer>
Layer prepared_layer(Layer layer) {
    layer.epilogue = prepared(layer.epilogue);
    return layer;
}

}  // namespace
}  // namespace native

using namespace native;

extern "C" {

Program* program_create(int threads) { return new Program(threads); }
void program_destroy(Program* program) { delete program; }

void program_ends(Program* program, const Tensor* images, const Tensor* logits, int classes) {
    program->images = *images;
    program->logits = *logits;
    program->classes = classes;
}

void add_convolution(Program* program, const Convolution* layer) {
    program->layers.push_back([program, layer = prepared_layer(*layer)] { run(layer, program->threads); });
}
void add_winograd(Program* program, const Winograd* layer) {
    program->layers.push_back([program, layer = prepared_layer(*layer)] { run(layer, program->scratch, program->threads); });
}
void add_strassen(Program* program, const Strassen* layer) {
    program->layers.push_back(
        [program, layer = prepared_layer(*layer)] { run(layer, program->scratch.shared, program->threads); });
}
void add_grouped(Program* program, const Grouped* layer) {
    program->layers.push_back([program, layer = prepared_layer(*layer)] { run(layer, program->threads); });
}
void add_pool(Program* program, const Pool* layer) {
    program->layers.push_back([program, layer = *layer] { run(layer, program->threads); });
}
void add_mean(Program* program, const Mean* layer) {
    program->layers.push_back([program, layer = *layer] { run(layer, program->threads); });
}
void add_gated(Program* program, const Gated* layer) {
    program->layers.push_back([program, layer = *layer] { run(layer, program->threads); });
}

// images (N, C, H, W) -> logits (N, classes).
void program_run(Program* program, const float* images, float* logits) {
    read_images(images, program->images, program->threads);
    for (const auto& layer : program->layers) layer();
    write_rows(program->logits, program->classes, logits);
}

}  // extern "C"
