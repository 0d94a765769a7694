// Threads that wait for the next parallel loop and take its iterations one by one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace native {

class Threads {
public:
    // The calling thread is one of them.
    explicit Threads(int count);
    ~Threads();
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

    int count() const { return int(workers_.size()) + 1; }

    // Calls body(iteration, thread) for every iteration from 0 to iterations - 1, in any order, and returns when all
    // have returned. A thread that the system does not let run takes none, and nobody waits for it.
    void parallel(int iterations, const std::function<void(int, int)>& body);

private:
    void work(int thread);
    void look_for_work(int thread);
    bool take(int thread);

    std::vector<std::thread> workers_;
    std::atomic<const std::function<void(int, int)>*> body_{nullptr};
    std::atomic<uint32_t> iterations_{0};
    std::atomic<uint32_t> finished_{0};
    std::atomic<uint64_t> left_{0};  // number of the loop << 32 | iterations that nobody has taken
    std::atomic<int> sleeping_{0};
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace native
