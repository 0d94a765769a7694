// Threads that wait for the next parallel loop and share its iterations.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace native {

class Threads {
public:
    // The calling thread is one of them. Throws std::system_error if the system starts no more threads.
    explicit Threads(int count);
    ~Threads();
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

    int count() const { return int(workers_.size()) + 1; }

    // Calls body(iteration, thread) for every iteration from 0 to iterations - 1, and returns when all have returned.
    // Thread t of T begins with iterations * t / T and goes on from there; who is done helps the others, so a thread
    // that the system does not let run holds nobody up. Loops over the same pixels in the same order leave each thread
    // with what it wrote itself: caches that belong to one core, or to some cores, need not exchange it.
    // Throws what an iteration threw, after the others.
    void parallel(int iterations, const std::function<void(int, int)>& body);

private:
    // The iterations that one thread begins with. `left`: number of the loop << 32 | those that nobody has taken.
    struct alignas(64) Share {
        std::atomic<uint64_t> left{0};
        std::atomic<uint32_t> end{0};
    };

    void stop();
    void work(int thread);
    bool next_loop(uint32_t& seen);
    bool take(int thread);
    bool take_from(Share& share, int thread);

    std::vector<std::thread> workers_;
    std::vector<Share> shares_;
    std::atomic<const std::function<void(int, int)>*> body_{nullptr};
    std::atomic<uint32_t> finished_{0};
    std::atomic<uint32_t> loop_{0};
    std::atomic<int> ready_{0};
    std::atomic<int> sleeping_{0};
    std::atomic<bool> stopping_{false};
    std::exception_ptr failure_;  // of an iteration; written under the mutex
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace native
