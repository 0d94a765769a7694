// Threads that wait for the next parallel loop and take its iterations one by one.
#pragma once

#include <atomic>
#include <condition_variable>
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
    // have returned.
    void parallel(int iterations, const std::function<void(int, int)>& body);

private:
    void work(int thread);
    void take(int thread);

    std::vector<std::thread> workers_;
    const std::function<void(int, int)>* body_ = nullptr;
    int iterations_ = 0;
    std::atomic<int> next_{0};
    std::atomic<int> busy_{0};
    std::atomic<unsigned> loop_{0};
    std::atomic<int> sleeping_{0};
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace native
