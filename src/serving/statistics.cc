#include "src/serving/statistics.h"

namespace zeta::serving {
namespace {

uint64_t milliseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

void add_to_all(DurationTotal& total, uint64_t count, std::chrono::nanoseconds each) {
  total.count += count;
  total.ns += count * static_cast<uint64_t>(each.count());
}

uint64_t& failures_of(StatisticsSnapshot& totals, absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kCancelled:
      return totals.canceled;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return totals.rejected;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      return totals.backend_failure;
    default:
      return totals.other_failure;
  }
}

}  // namespace

void Statistics::request_arrived() {
  MutexLock lock(mutex_);
  ++totals_.in_flight;
}

std::chrono::nanoseconds Statistics::request_ended(const absl::Status& status, Clock::time_point start) {
  const auto elapsed = Clock::now() - start;
  MutexLock lock(mutex_);
  --totals_.in_flight;
  if (!status.ok()) {
    totals_.fail.add(elapsed);
    ++failures_of(totals_, status.code());
    return elapsed;
  }
  totals_.success.add(elapsed);
  if (is_scheduled_) return elapsed;
  ++totals_.inference_count;
  ++totals_.execution_count;
  totals_.last_inference_ms = milliseconds_since_1970();
  // Nothing waited or was gathered, but perf_analyzer knows a version in use by its queue's count.
  for (DurationTotal* none : {&totals_.queue, &totals_.compute_input, &totals_.compute_output})
    none->add(std::chrono::nanoseconds(0));
  totals_.compute_infer.add(elapsed);
  return elapsed;
}

void Statistics::cache_hit(Clock::time_point start, std::chrono::nanoseconds lookup) {
  const auto elapsed = Clock::now() - start;
  MutexLock lock(mutex_);
  --totals_.in_flight;
  totals_.success.add(elapsed);
  totals_.queue.add(std::chrono::nanoseconds(0));
  totals_.cache_hit.add(lookup);
}

void Statistics::cache_miss(std::chrono::nanoseconds lookup_and_insertion) {
  MutexLock lock(mutex_);
  totals_.cache_miss.add(lookup_and_insertion);
}

void Statistics::execution(int64_t size, const std::vector<std::chrono::nanoseconds>& queued,
                           const RequestPhases& phases) {
  const uint64_t requests = queued.size();
  MutexLock lock(mutex_);
  totals_.last_inference_ms = milliseconds_since_1970();
  ++totals_.execution_count;
  totals_.inference_count += static_cast<uint64_t>(size);
  for (const auto duration : queued) totals_.queue.add(duration);
  add_to_all(totals_.compute_input, requests, phases.compute_input);
  add_to_all(totals_.compute_infer, requests, phases.compute_infer);
  add_to_all(totals_.compute_output, requests, phases.compute_output);
  BatchTotals& batch = totals_.batches[size];
  batch.compute_input.add(phases.compute_input);
  batch.compute_infer.add(phases.compute_infer);
  batch.compute_output.add(phases.compute_output);
}

StatisticsSnapshot Statistics::snapshot() const {
  MutexLock lock(mutex_);
  StatisticsSnapshot reading = totals_;
  reading.responses = responses_.load(std::memory_order_relaxed);
  reading.pending = pending_.load(std::memory_order_relaxed);
  return reading;
}

}  // namespace zeta::serving
