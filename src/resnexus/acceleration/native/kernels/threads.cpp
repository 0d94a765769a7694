#include "threads.hpp"

#include <chrono>
#include <utility>

#include "slice.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace native {
namespace {

// How long a thread looks for work before it sleeps: longer than the last iteration of a layer takes the others, since
// to wake a thread takes a tenth of a millisecond on a virtual machine.
constexpr auto kPatience = std::chrono::milliseconds(2);
constexpr int kSpins = 64;  // between two looks at the clock

inline void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

}  // namespace

Threads::Threads(int count) : shares_(count) {
    try {
        for (int thread = 1; thread < count; ++thread) workers_.emplace_back([this, thread] { work(thread); });
    } catch (...) {
        stop();
        throw;
    }
    while (ready_.load(std::memory_order_acquire) < int(workers_.size())) std::this_thread::yield();
}

Threads::~Threads() { stop(); }

void Threads::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Threads::parallel(int iterations, const std::function<void(int, int)>& body) {
    if (workers_.empty() || iterations < 2) {
        for (int i = 0; i < iterations; ++i) body(i, 0);
        return;
    }
    const uint32_t loop = loop_.load(std::memory_order_relaxed) + 1;
    body_.store(&body, std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
    for (int thread = 0; thread < count(); ++thread) {
        const Slice own = slice(iterations, thread, count());
        shares_[thread].end.store(uint32_t(own.last), std::memory_order_relaxed);
        shares_[thread].left.store((uint64_t(loop) << 32) + uint32_t(own.size()), std::memory_order_release);
    }
    loop_.store(loop);
    if (sleeping_.load() > 0) {
        std::lock_guard<std::mutex> lock(mutex_);
        wake_.notify_all();
    }
    while (take(0)) {}
    for (int spin = 0; finished_.load(std::memory_order_acquire) < uint32_t(iterations); ++spin) {
        pause();
        if (spin % kSpins == kSpins - 1) std::this_thread::yield();
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Threads::work(int thread) {
    try {
        throw false;  // the first one allocates, which one that says that there is no memory could not
    } catch (bool) {}
    ready_.fetch_add(1, std::memory_order_release);
    uint32_t seen = 0;
    while (next_loop(seen)) {
        while (take(thread)) {}
    }
}

// Waits for a loop other than `seen`, at first without sleeping; returns false when there will be none.
bool Threads::next_loop(uint32_t& seen) {
    const auto idle_since = std::chrono::steady_clock::now();
    do {
        for (int spin = 0; spin < kSpins; ++spin) {
            const uint32_t loop = loop_.load(std::memory_order_acquire);
            if (loop != seen) {
                seen = loop;
                return true;
            }
            pause();
        }
    } while (std::chrono::steady_clock::now() - idle_since < kPatience);
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleeping_;
    wake_.wait(lock, [&] { return stopping_ || loop_.load() != seen; });
    --sleeping_;
    seen = loop_.load();
    return !stopping_;
}

// Runs one iteration, of the thread's own share if there is one left; returns false if none is left at all.
bool Threads::take(int thread) {
    for (int k = 0; k < count(); ++k) {
        if (take_from(shares_[(thread + k) % count()], thread)) return true;
    }
    return false;
}

// The exchange succeeds only while the loop whose body was read is still the current one and has that iteration left,
// and the loop cannot end before the iteration is finished.
bool Threads::take_from(Share& share, int thread) {
    uint64_t left = share.left.load(std::memory_order_acquire);
    while (uint32_t(left) > 0) {
        const auto* body = body_.load(std::memory_order_relaxed);
        const uint32_t iteration = share.end.load(std::memory_order_relaxed) - uint32_t(left);
        if (share.left.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
            try {
                (*body)(int(iteration), thread);
            } catch (...) {
                std::lock_guard<std::mutex> lock(mutex_);
                failure_ = std::current_exception();
            }
            finished_.fetch_add(1, std::memory_order_release);
            return true;
        }
    }
    return false;
}

}  // namespace native
