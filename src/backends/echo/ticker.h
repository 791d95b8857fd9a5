// Work that is done a step at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>

#include "src/base/mutex.h"

namespace zeta::echo {

class Task {
 public:
  virtual ~Task() = default;
  // Does the next step; false when it was the last.
  virtual bool step() = 0;
  // Called instead of further steps when the ticker ends.
  virtual void stop() = 0;
};

// One thread that steps through all tasks, each `delay` after its step before. Thread-safe.
class Ticker {
 public:
  explicit Ticker(std::chrono::milliseconds delay);
  ~Ticker();  // stops the tasks that are left
  void add(std::unique_ptr<Task> task) ZETA_EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  void run() ZETA_EXCLUDES(mutex_);
  // Waits for the next task's time; null when the ticker ends.
  std::unique_ptr<Task> next() ZETA_EXCLUDES(mutex_);

  const std::chrono::milliseconds delay_;
  Mutex mutex_;
  CondVar changed_;
  std::multimap<Clock::time_point, std::unique_ptr<Task>> tasks_ ZETA_GUARDED_BY(mutex_);
  bool ending_ ZETA_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace zeta::echo
