#include "src/serving/scheduling/request_queue.h"

#include <algorithm>

namespace zeta::serving {
namespace {

void set_deadline(const QueuePolicy& policy, PendingRequest& request, SchedulerClock::time_point now) {
  auto timeout = policy.default_timeout;
  if (policy.allow_timeout_override) {
    constexpr uint64_t kLongest = 1'000'000'000'000;  // µs, 11 days
    const auto own = unsigned_parameter(*request.request, "timeout");
    const std::chrono::microseconds wanted(own.ok() ? std::min(*own, kLongest) : 0);
    if (wanted.count() > 0 && (timeout.count() == 0 || wanted < timeout)) timeout = wanted;
  }
  if (timeout.count() > 0) request.deadline = now + timeout;
}

}  // namespace

RequestQueue::RequestQueue(const DynamicBatching* batching)
    : batching_(batching == nullptr ? DynamicBatching() : *batching) {}

const QueuePolicy& RequestQueue::policy_of(uint64_t priority) const {
  const auto own = batching_.priority_queue_policy.find(priority);
  return own == batching_.priority_queue_policy.end() ? batching_.default_queue_policy : own->second;
}

absl::Status RequestQueue::push(PendingRequest& request, SchedulerClock::time_point now,
                                std::vector<PendingRequest>& dropped) {
  if (request.priority == 0 || request.priority > batching_.priority_levels) {
    request.priority = batching_.default_priority_level;
  }
  const QueuePolicy& policy = policy_of(request.priority);
  Level& level = levels_[request.priority];
  const auto is_full = [&] {
    return policy.max_queue_size != 0 && level.waiting.size() + level.delayed.size() >= policy.max_queue_size;
  };
  if (is_full()) {
    auto visit = [](const PendingRequest& waiting, bool& take) {
      take = waiting.cancelled();
      return true;
    };
    take_from(level.waiting, visit, dropped);
    take_from(level.delayed, visit, dropped);
  }
  if (is_full()) return absl::UnavailableError("Exceeds maximum queue size");
  set_deadline(policy, request, now);
  if (request.deadline) next_expiry_ = std::min(next_expiry_.value_or(*request.deadline), *request.deadline);
  level.waiting.push_back(std::move(request));
  ++size_;
  return absl::OkStatus();
}

void RequestQueue::expire(SchedulerClock::time_point now, std::vector<PendingRequest>& dropped) {
  if (!next_expiry_ || *next_expiry_ > now) return;
  next_expiry_.reset();
  for (auto& [priority, level] : levels_) {
    const bool delays = policy_of(priority).timeout_action == QueuePolicy::TimeoutAction::kDelay;
    expire(level, delays, now, dropped);
  }
}

void RequestQueue::expire(Level& level, bool delays, SchedulerClock::time_point now,
                          std::vector<PendingRequest>& dropped) {
  std::vector<PendingRequest> late;
  auto visit = [&](const PendingRequest& request, bool& take) {
    take = request.deadline && *request.deadline <= now;
    if (request.deadline && !take) {
      next_expiry_ = std::min(next_expiry_.value_or(*request.deadline), *request.deadline);
    }
    return true;
  };
  take_from(level.waiting, visit, late);
  for (PendingRequest& request : late) {
    if (!delays) {
      dropped.push_back(std::move(request));
      continue;
    }
    level.delayed.push_back(std::move(request));
    ++size_;
  }
}

std::vector<PendingRequest> RequestQueue::take_all() {
  return take_if([](const PendingRequest&, bool& take) { return take = true; });
}

}  // namespace zeta::serving
