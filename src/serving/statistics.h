// What a model's requests came to.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/status/status.h"

namespace zeta::serving {

// Every field may be changed and read by any thread; the fields of one reading may be a request apart.
struct Statistics {
  using Clock = std::chrono::steady_clock;

  std::atomic<uint64_t> success{0};
  // Failures, by Triton's reasons.
  std::atomic<uint64_t> rejected{0};  // never began: the queue was full or time was up
  std::atomic<uint64_t> canceled{0};
  std::atomic<uint64_t> backend_failure{0};  // the backend's own fault
  std::atomic<uint64_t> other_failure{0};    // the caller's fault
  std::atomic<int64_t> in_flight{0};
  std::atomic<uint64_t> request_microseconds{0};  // of successful requests, arrival to final response
  std::atomic<uint64_t> responses{0};

  // Counts the end of a request that began at `start`.
  void count_end(const absl::Status& status, Clock::time_point start);
};

}  // namespace zeta::serving
