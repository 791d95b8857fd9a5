// Threads for what takes long and answers no inference request: loading and unloading models.
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "src/base/log.h"

namespace zeta::server {

// What `work()` returns, or Internal for what it throws, such as a lack of memory.
template <class Work>
absl::Status status_of(Work& work) try {
  return work();
} catch (const std::exception& error) {
  return absl::InternalError(error.what());
}

// Thread-safe. Destruction waits for what runs.
class ControlThreads {
 public:
  explicit ControlThreads(size_t threads) : pool_(threads) {}

  // Runs `task()` on one of the threads. What it throws is lost: wrap what somebody waits for in status_of.
  template <class Task>
  void run(Task task) {
    running_.fetch_add(1);
    boost::asio::post(pool_, [this, task = std::move(task)]() mutable {
      const Ending ending{running_};
      try {
        task();
      } catch (const std::exception& error) {
        log::error("a control task failed", {{"reason", error.what()}});
      }
    });
  }
  // Whether something runs or waits.
  bool busy() const { return running_.load() > 0; }

 private:
  struct Ending {
    std::atomic<size_t>& running;
    ~Ending() { running.fetch_sub(1); }
  };

  std::atomic<size_t> running_{0};
  boost::asio::thread_pool pool_;
};

}  // namespace zeta::server
