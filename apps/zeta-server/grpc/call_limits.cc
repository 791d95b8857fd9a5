#include "apps/zeta-server/grpc/call_limits.h"

#include <utility>

#include "src/base/concat.h"

namespace zeta::server::grpc_api {

absl::Status CallLimits::enter() {
  if (draining_.load(std::memory_order_relaxed)) {
    return absl::UnavailableError("the server is shutting down");
  }
  if (running_.fetch_add(1, std::memory_order_relaxed) < most_) return absl::OkStatus();
  leave();
  return absl::ResourceExhaustedError(
      concat("the server has all of its ", most_, " gRPC requests under way (--grpc-max-requests)"));
}

size_t CallLimits::watch(std::function<void()> end) {
  MutexLock lock(mutex_);
  if (draining_) end();
  watchers_.emplace(next_key_, std::move(end));
  return next_key_++;
}

void CallLimits::unwatch(size_t key) {
  MutexLock lock(mutex_);
  watchers_.erase(key);
}

void CallLimits::drain() {
  MutexLock lock(mutex_);
  draining_ = true;
  for (const auto& [key, end] : watchers_) end();
}

}  // namespace zeta::server::grpc_api
