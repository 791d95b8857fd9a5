#include "src/serving/scheduling/rate_limiter.h"

#include <algorithm>

#include "src/base/concat.h"

namespace zeta::serving {

absl::StatusOr<std::unique_ptr<RateLimiter::Instance>> RateLimiter::add(const RateLimit& limit, int device) {
  Member member;
  member.priority = std::max<uint64_t>(limit.priority, 1);
  for (const RateLimit::Need& need : limit.resources) {
    member.needs[{need.is_global ? kGlobal : device, need.resource}] = need.count;
  }
  MutexLock lock(mutex_);
  // A newcomer begins where the others are, lest it goes before them until it has caught up.
  uint64_t least = 0;
  for (const auto& [id, other] : members_) {
    const uint64_t rank = other.executions * other.priority;
    least = least == 0 ? rank : std::min(least, rank);
  }
  member.executions = least / member.priority;
  const uint64_t id = ++next_id_;
  members_.emplace(id, std::move(member));
  if (absl::Status status = count_resources(); !status.ok()) {
    members_.erase(id);
    const absl::Status ignored = count_resources();  // as it was
    return status;
  }
  return std::make_unique<Instance>(shared_from_this(), id);
}

void RateLimiter::remove(uint64_t id) {
  MutexLock lock(mutex_);
  members_.erase(id);
  const absl::Status ignored = count_resources();  // fewer members contradict each other less
  changed_.notify_all();
}

uint64_t RateLimiter::limit_of(const Resource& resource) const {
  uint64_t count = 0;
  for (const ResourceLimit& limit : limits_) {
    const bool applies = resource.first == kGlobal || !limit.device || *limit.device == resource.first;
    if (applies && limit.name == resource.second) count = std::max(count, limit.count);
  }
  return count;
}

absl::Status RateLimiter::count_resources() {
  there_.clear();
  for (const auto& [id, member] : members_) {
    for (const auto& [resource, count] : member.needs) there_[resource] = std::max(there_[resource], count);
  }
  for (auto& [resource, count] : there_) {
    const std::string& name = resource.second;
    if (!limits_.empty()) {
      const uint64_t limit = limit_of(resource);
      if (limit < count) {
        return absl::InvalidArgumentError(
            concat("Resource count for \"", name, "\" is limited to ", limit,
                   " which will prevent scheduling of one or more model instances, the minimum required ",
                   "count is ", count));
      }
      count = limit;
    }
    const bool is_global = resource.first == kGlobal;
    bool both = false;
    for (const auto& [other, needed] : there_) {
      both = both || (other.second == name && (other.first == kGlobal) != is_global);
    }
    if (!both) continue;
    return absl::InvalidArgumentError(
        concat("Resource \"", name,
               "\" is present as both global and device-specific resource in the model configuration."));
  }
  return absl::OkStatus();
}

bool RateLimiter::is_free(const Member& member) const {
  for (const auto& [resource, count] : member.needs) {
    const auto taken = taken_.find(resource);
    const auto there = there_.find(resource);
    const uint64_t wanted = (taken == taken_.end() ? 0 : taken->second) + count;
    if (wanted > (there == there_.end() ? 0 : there->second)) return false;
  }
  return true;
}

// Those before it get theirs first, and what they wait for is kept for them.
bool RateLimiter::may_run(uint64_t id) const {
  const Member& member = members_.at(id);
  const auto rank = [](const Member& one) {
    return std::pair(one.executions * one.priority, one.waits_since);
  };
  return is_free(member) && std::ranges::none_of(members_, [&](const auto& other) {
           if (other.first == id || other.second.waits_since == 0 || rank(other.second) > rank(member))
             return false;
           return std::ranges::any_of(other.second.needs,
                                      [&](const auto& need) { return member.needs.contains(need.first); });
         });
}

void RateLimiter::acquire(uint64_t id) {
  MutexLock lock(mutex_);
  members_.at(id).waits_since = ++next_wait_;
  while (!may_run(id)) changed_.wait(mutex_);
  Member& member = members_.at(id);
  member.waits_since = 0;
  for (const auto& [resource, count] : member.needs) taken_[resource] += count;
  if (!member.needs.empty()) changed_.notify_all();  // it no longer keeps others back
}

void RateLimiter::release(uint64_t id) {
  MutexLock lock(mutex_);
  Member& member = members_.at(id);
  ++member.executions;
  for (const auto& [resource, count] : member.needs) taken_[resource] -= count;
  changed_.notify_all();
}

}  // namespace zeta::serving
