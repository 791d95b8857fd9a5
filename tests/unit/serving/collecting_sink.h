// A sink that keeps what it gets.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

class CollectingSink final : public ResponseSink {
 public:
  void send(InferResponse response) override {
    MutexLock lock(mutex_);
    ended_ = ended_ || response.final;
    responses_.push_back(std::move(response));
    changed_.notify_all();
  }
  bool ended() {
    MutexLock lock(mutex_);
    return ended_;
  }
  // Waits for the final response, at most ten seconds.
  std::vector<InferResponse> wait() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    MutexLock lock(mutex_);
    while (!ended_ && changed_.wait_until(mutex_, deadline)) {
    }
    return responses_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<InferResponse> responses_ ZETA_GUARDED_BY(mutex_);
  bool ended_ ZETA_GUARDED_BY(mutex_) = false;
};

}  // namespace zeta::serving
