// Threads for what takes long and answers no inference request: loading and unloading models.
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <utility>

namespace zeta::server {

// Thread-safe. Destruction waits for what runs.
class ControlThreads {
 public:
  explicit ControlThreads(size_t threads) : pool_(threads) {}

  // Runs `task()` on one of the threads.
  template <class Task>
  void run(Task task) {
    running_.fetch_add(1);
    boost::asio::post(pool_, [this, task = std::move(task)]() mutable {
      task();
      running_.fetch_sub(1);
    });
  }
  // Whether something runs or waits.
  bool busy() const { return running_.load() > 0; }

 private:
  std::atomic<size_t> running_{0};
  boost::asio::thread_pool pool_;
};

}  // namespace zeta::server
