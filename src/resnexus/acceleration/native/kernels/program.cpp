// A network as a list of layers, run by one call, for a batch that may be cut into equal parts.
#include <functional>
#include <memory>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "convolution.hpp"
#include "grouped.hpp"
#include "pool.hpp"
#include "strassen.hpp"
#include "winograd.hpp"

namespace native {
namespace {

// Runs some images through all layers, in memory of its own.
struct Part {
    Part(Threads& threads) : threads(threads), scratch(threads.count()) {}

    // Images -> outputs, of which each begins at its own first image.
    void run(const float* from, std::vector<float*> to) {
        outputs = std::move(to);
        read_images(from, images, threads);
        for (const auto& layer : layers) layer();
    }

    Threads& threads;
    Scratch scratch;
    Tensor images{};
    std::vector<int64_t> sizes;  // of an image in each output, in floats
    std::vector<float*> outputs;
    std::vector<std::function<void()>> layers;
};

// Several parts run side by side on one thread each, and no thread needs what another has in its caches.
struct Program {
    Program(int threads, int count) : threads(threads) {
        for (int part = 0; part < count; ++part) {
            parts.push_back(std::make_unique<Part>(count == 1 ? this->threads : alone));
        }
    }

    Threads threads;
    Threads alone{1};
    std::vector<std::unique_ptr<Part>> parts;
};

// Returns false if the system gives no memory or no threads; outside nobody catches an exception.
template <typename Body>
bool succeeds(const Body& body) {
    try {
        body();
        return true;
    } catch (const std::bad_alloc&) {
    } catch (const std::system_error&) {
    }
    return false;
}

template <typename Layer>
Layer prepared_layer(Layer layer) {
    layer.epilogue = prepared(layer.epilogue);
    return layer;
}

}  // namespace
}  // namespace native

using namespace native;

extern "C" {

// Returns nothing if the system starts no more threads, or has no memory for them.
Program* program_create(int threads, int parts) {
    Program* program = nullptr;
    succeeds([&] { program = new Program(threads, parts); });
    return program;
}
void program_destroy(Program* program) { delete program; }
Part* program_part(Program* program, int part) { return program->parts[part].get(); }

void part_ends(Part* part, const Tensor* images, const int64_t* sizes, int outputs) {
    part->images = *images;
    part->sizes.assign(sizes, sizes + outputs);
}

void add_convolution(Part* part, const Convolution* layer) {
    part->layers.push_back([part, layer = prepared_layer(*layer)] { run(layer, part->threads); });
}
void add_winograd(Part* part, const Winograd* layer) {
    part->layers.push_back([part, layer = prepared_layer(*layer)] { run(layer, part->scratch, part->threads); });
}
void add_strassen(Part* part, const Strassen* layer) {
    part->layers.push_back([part, layer = prepared_layer(*layer)] { run(layer, part->scratch, part->threads); });
}
void add_grouped(Part* part, const Grouped* layer) {
    part->layers.push_back([part, layer = prepared_layer(*layer)] { run(layer, part->threads); });
}
void add_pool(Part* part, const Pool* layer) {
    part->layers.push_back([part, layer = *layer] { run(layer, part->threads); });
}
void add_mean(Part* part, const Mean* layer) {
    part->layers.push_back([part, layer = *layer] { run(layer, part->threads); });
}
void add_gated(Part* part, const Gated* layer) {
    part->layers.push_back([part, layer = *layer] { run(layer, part->threads); });
}

void add_write(Part* part, const Write* layer) {
    part->layers.push_back([part, layer = *layer] { run(layer, part->outputs.data(), part->threads); });
}

// images (N, C, H, W) -> outputs (N, ...). Returns false if there is no memory for what lies between.
bool program_run(Program* program, const float* images, float* const* outputs) {
    return succeeds([&] {
        program->threads.parallel(int(program->parts.size()), [&](int index, int) {
            Part& part = *program->parts[index];
            const int64_t image = int64_t(part.images.blocks) * part.images.height * part.images.width;
            const int64_t first = int64_t(index) * part.images.images;
            std::vector<float*> to(outputs, outputs + part.sizes.size());
            for (size_t output = 0; output < to.size(); ++output) to[output] += first * part.sizes[output];
            part.run(images + first * image, std::move(to));
        });
    });
}

}  // extern "C"
