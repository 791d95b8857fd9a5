// What a model's requests came to.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// How often something happened and how long it took in all, as in Triton's StatisticDuration.
struct DurationTotal {
  uint64_t count = 0;
  uint64_t ns = 0;

  void add(std::chrono::nanoseconds duration) {
    ++count;
    ns += static_cast<uint64_t>(duration.count());
  }
};

// Executions of one batch size.
struct BatchTotals {
  DurationTotal compute_input, compute_infer, compute_output;
};

// One reading, under the names of Triton's statistics extension. A request counts the whole time of each
// batch it was in, so totals exceed what the clock shows.
struct StatisticsSnapshot {
  uint64_t last_inference_ms = 0;  // since 1970; 0: never
  uint64_t inference_count = 0;    // items: a batch of 8 counts 8
  uint64_t execution_count = 0;    // batches
  DurationTotal success, fail, queue, compute_input, compute_infer, compute_output;
  DurationTotal cache_hit;   // successes that were not computed; the time to find the answer
  DurationTotal cache_miss;  // the time to look for the answer and to keep the computed one
  std::map<int64_t, BatchTotals> batches;
  // Failures, by Triton's reasons.
  uint64_t rejected = 0;  // never began: the queue was full or time was up
  uint64_t canceled = 0;
  uint64_t backend_failure = 0;  // the backend's own fault
  uint64_t other_failure = 0;    // the caller's fault
  uint64_t responses = 0;
  int64_t in_flight = 0;
  int64_t pending = 0;  // of a scheduled model: waiting, not yet executed
};

// Thread-safe.
class Statistics {
 public:
  using Clock = std::chrono::steady_clock;

  // `is_scheduled`: executions are reported by execution(), else each successful request counts as one.
  explicit Statistics(bool is_scheduled = false) : is_scheduled_(is_scheduled) {}

  void request_arrived() ZETA_EXCLUDES(mutex_);
  void response_sent() { responses_.fetch_add(1, std::memory_order_relaxed); }
  bool is_scheduled() const { return is_scheduled_; }
  // The end of a request that arrived at `start`; how long it took.
  std::chrono::nanoseconds request_ended(const absl::Status& status, Clock::time_point start)
      ZETA_EXCLUDES(mutex_);

  // The end of a request that arrived at `start` and had its answer from the cache after `lookup`.
  void cache_hit(Clock::time_point start, std::chrono::nanoseconds lookup) ZETA_EXCLUDES(mutex_);
  // Beside request_ended.
  void cache_miss(std::chrono::nanoseconds lookup_and_insertion) ZETA_EXCLUDES(mutex_);

  void pending_changed(int64_t by) { pending_.fetch_add(by, std::memory_order_relaxed); }
  // A batch of `size` items was executed for requests that had waited for `queued` each.
  void execution(int64_t size, const std::vector<std::chrono::nanoseconds>& queued,
                 const RequestPhases& phases) ZETA_EXCLUDES(mutex_);

  StatisticsSnapshot snapshot() const ZETA_EXCLUDES(mutex_);

 private:
  const bool is_scheduled_;
  std::atomic<uint64_t> responses_{0};
  std::atomic<int64_t> pending_{0};
  mutable Mutex mutex_;
  StatisticsSnapshot totals_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
