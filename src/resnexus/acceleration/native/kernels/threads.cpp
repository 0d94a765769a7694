#include "threads.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace native {
namespace {

constexpr int kSpins = 20000;  // about half a millisecond: longer than the gaps between the layers of a network

inline void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

}  // namespace

Threads::Threads(int count) {
    for (int thread = 1; thread < count; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

Threads::~Threads() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
        ++loop_;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Threads::parallel(int iterations, const std::function<void(int, int)>& body) {
    if (workers_.empty() || iterations < 2) {
        for (int i = 0; i < iterations; ++i) body(i, 0);
        return;
    }
    body_ = &body;
    iterations_ = iterations;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(int(workers_.size()), std::memory_order_relaxed);
    loop_.fetch_add(1);
    if (sleeping_.load() > 0) {
        std::lock_guard<std::mutex> lock(mutex_);
        wake_.notify_all();
    }
    take(0);
    for (int spin = 0; busy_.load(std::memory_order_acquire) > 0; ++spin) {
        pause();
        if (spin > kSpins) std::this_thread::yield();
    }
}

void Threads::work(int thread) {
    unsigned seen = 0;
    while (true) {
        for (int spin = 0; loop_.load(std::memory_order_acquire) == seen && spin < kSpins; ++spin) pause();
        if (loop_.load() == seen) {
            std::unique_lock<std::mutex> lock(mutex_);
            ++sleeping_;
            wake_.wait(lock, [&] { return loop_.load() != seen; });
            --sleeping_;
        }
        ++seen;
        if (stopping_) return;
        take(thread);
        busy_.fetch_sub(1, std::memory_order_release);
    }
}

void Threads::take(int thread) {
    for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < iterations_;) (*body_)(i, thread);
}

}  // namespace native
