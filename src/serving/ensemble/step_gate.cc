#include "src/serving/ensemble/step_gate.h"

#include <utility>

namespace zeta::serving {

void StepGate::enter(std::function<void()> start) {
  if (most_ == 0) return start();
  {
    MutexLock lock(mutex_);
    waiting_.push_back(std::move(start));
    if (letting_in_) return;
    letting_in_ = true;
  }
  let_in();
}

void StepGate::leave() {
  if (most_ == 0) return;
  {
    MutexLock lock(mutex_);
    --inside_;
    if (letting_in_) return;
    letting_in_ = true;
  }
  let_in();
}

void StepGate::let_in() {
  while (true) {
    std::function<void()> start;
    {
      MutexLock lock(mutex_);
      if (waiting_.empty() || inside_ >= most_) {
        letting_in_ = false;
        return;
      }
      ++inside_;
      start = std::move(waiting_.front());
      waiting_.pop_front();
    }
    start();
  }
}

}  // namespace zeta::serving
