// How many inference requests a second one client may send.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "src/base/mutex.h"

namespace zeta::server {

// Clients are told apart by their address: those behind one proxy share a rate. A client that was idle may
// send a second's worth at once. Thread-safe.
class ClientRate {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: no limit.
  explicit ClientRate(double per_second) : per_second_(per_second) {}

  bool limited() const { return per_second_ > 0; }
  // Takes one request off what `client` may send; ResourceExhausted when there is nothing left.
  absl::Status take(std::string_view client, Clock::time_point now = Clock::now()) ZETA_EXCLUDES(mutex_);

 private:
  struct Allowance {
    double left = 0;
    Clock::time_point time;
  };

  double burst() const { return per_second_ < 1 ? 1 : per_second_; }
  void forget_idle(Clock::time_point now) ZETA_REQUIRES(mutex_);

  const double per_second_;
  Mutex mutex_;
  std::unordered_map<std::string, Allowance> clients_ ZETA_GUARDED_BY(mutex_);
  size_t most_ ZETA_GUARDED_BY(mutex_) = 1024;  // then the idle ones are forgotten
};

}  // namespace zeta::server
