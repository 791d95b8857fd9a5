// A bound on the requests that are at a member at once.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "src/base/mutex.h"

namespace zeta::serving {

// Thread-safe.
class StepGate {
 public:
  explicit StepGate(size_t most) : most_(most) {}  // 0: no bound

  // Calls `start` now, or when those that were before it have left, from the thread of the last of them.
  void enter(std::function<void()> start) ZETA_EXCLUDES(mutex_);
  void leave() ZETA_EXCLUDES(mutex_);

 private:
  // One thread at a time starts what there is room for, without recursion.
  void let_in() ZETA_EXCLUDES(mutex_);

  const size_t most_;
  Mutex mutex_;
  size_t inside_ ZETA_GUARDED_BY(mutex_) = 0;
  bool letting_in_ ZETA_GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> waiting_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
