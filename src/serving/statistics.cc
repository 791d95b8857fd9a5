#include "src/serving/statistics.h"

namespace zeta::serving {

void Statistics::count_end(const absl::Status& status, Clock::time_point start) {
  in_flight.fetch_sub(1, std::memory_order_relaxed);
  switch (status.code()) {
    case absl::StatusCode::kOk: {
      const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
      request_microseconds.fetch_add(static_cast<uint64_t>(elapsed.count()), std::memory_order_relaxed);
      success.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    case absl::StatusCode::kCancelled:
      canceled.fetch_add(1, std::memory_order_relaxed);
      break;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      rejected.fetch_add(1, std::memory_order_relaxed);
      break;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      backend_failure.fetch_add(1, std::memory_order_relaxed);
      break;
    default:
      other_failure.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace zeta::serving
