#include "src/backends/echo/ticker.h"

#include <utility>

namespace zeta::echo {

Ticker::Ticker(std::chrono::milliseconds delay) : delay_(delay), thread_([this] { run(); }) {}

Ticker::~Ticker() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
  MutexLock lock(mutex_);
  for (auto& [time, task] : tasks_) task->stop();
}

void Ticker::add(std::unique_ptr<Task> task) {
  MutexLock lock(mutex_);
  tasks_.emplace(Clock::now() + delay_, std::move(task));
  changed_.notify_all();
}

std::unique_ptr<Task> Ticker::next() {
  MutexLock lock(mutex_);
  while (!ending_) {
    if (tasks_.empty()) {
      changed_.wait(mutex_);
      continue;
    }
    const auto first = tasks_.begin();
    const auto time = first->first;
    if (time <= Clock::now()) {
      auto task = std::move(first->second);
      tasks_.erase(first);
      return task;
    }
    changed_.wait_until(mutex_, time);
  }
  return nullptr;
}

void Ticker::run() {
  while (auto task = next()) {
    if (task->step()) add(std::move(task));
  }
}

}  // namespace zeta::echo
