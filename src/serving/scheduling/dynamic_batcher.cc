#include "src/serving/scheduling/dynamic_batcher.h"

#include <algorithm>

namespace zeta::serving {
namespace {

const DynamicBatching* batching_of(const SchedulingPolicy& policy) {
  return policy.dynamic_batching ? &*policy.dynamic_batching : nullptr;
}

}  // namespace

absl::Status drop_reason(const PendingRequest& request) {
  if (request.cancelled()) return absl::CancelledError("Request cancelled");
  return absl::UnavailableError("Request timeout expired");
}

DynamicBatcher::DynamicBatcher(const SchedulingPolicy& policy)
    : max_batch_size_(std::max<int64_t>(policy.max_batch_size, 1)),
      batches_(policy.dynamic_batching.has_value()),
      preferred_(batches_ ? policy.dynamic_batching->preferred_batch_size : std::vector<int64_t>{}),
      delay_(batches_ ? policy.dynamic_batching->max_queue_delay : std::chrono::microseconds(0)),
      queue_(batching_of(policy)) {}

absl::Status DynamicBatcher::push(PendingRequest& request, SchedulerClock::time_point now,
                                  std::vector<PendingRequest>& dropped) {
  queue_.expire(now, dropped);
  return queue_.push(request, now, dropped);
}

bool DynamicBatcher::is_preferred(int64_t size) const {
  return std::ranges::find(preferred_, size) != preferred_.end();
}

DynamicBatcher::Candidates DynamicBatcher::find_candidates(std::vector<PendingRequest>& dropped) {
  Candidates found;
  int64_t size = 0, skipped = 0;
  std::string compatibility;  // the requests themselves move when others are taken out
  auto gone = queue_.take_if([&](const PendingRequest& next, bool& take) {
    take = next.cancelled();
    if (take) return true;
    const bool is_first = found.count == 0;
    if (!is_first && next.compatibility != compatibility) {
      return ++skipped < static_cast<int64_t>(kLookahead);
    }
    if (size + next.batch_size > max_batch_size_ && !is_first) {
      found.complete = true;
      return false;
    }
    if (is_first || next.arrival < found.oldest) found.oldest = next.arrival;
    if (is_first) compatibility = next.compatibility;
    size += next.batch_size;
    ++found.count;
    if (is_preferred(size)) found.preferred_count = found.count;
    found.complete = !batches_ || size >= max_batch_size_;
    return !found.complete;
  });
  std::ranges::move(gone, std::back_inserter(dropped));
  return found;
}

std::vector<PendingRequest> DynamicBatcher::take(size_t count) {
  std::string compatibility;
  size_t taken = 0;
  return queue_.take_if([&](const PendingRequest& next, bool& take) {
    if (taken == 0) compatibility = next.compatibility;
    take = next.compatibility == compatibility;
    taken += take ? 1 : 0;
    return taken < count;
  });
}

Assignment DynamicBatcher::poll(size_t, SchedulerClock::time_point now) {
  Assignment assignment;
  queue_.expire(now, assignment.dropped);
  const Candidates found = find_candidates(assignment.dropped);
  assignment.wake = queue_.next_expiry();
  if (found.count == 0) return assignment;
  const bool ripe = found.complete || now >= found.oldest + delay_;
  if (found.preferred_count == 0 && !ripe) {
    const auto ripens = found.oldest + delay_;
    assignment.wake = std::min(assignment.wake.value_or(ripens), ripens);
    return assignment;
  }
  assignment.batch = take(found.preferred_count != 0 ? found.preferred_count : found.count);
  return assignment;
}

}  // namespace zeta::serving
