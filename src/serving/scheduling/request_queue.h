// Requests that wait, by priority and under the limits of their level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "src/serving/scheduling/pending_request.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

// Levels come one after another, 1 before 2. Within a level the order is that of arrival, except that under
// TimeoutAction::kDelay requests whose time is up stand behind all others of their level. Times are given by
// the caller. Not thread-safe.
class RequestQueue {
 public:
  // One level without limits where `batching` is null.
  explicit RequestQueue(const DynamicBatching* batching);

  // A request of priority 0, or beyond the levels, gets the default one. Unavailable, leaving `request` as it
  // was, when the level is full; before that, requests whose client has gone are moved to `dropped`.
  absl::Status push(PendingRequest& request, SchedulerClock::time_point now,
                    std::vector<PendingRequest>& dropped);

  // Sends requests whose time is up to the end of their level, or moves them to `dropped`.
  void expire(SchedulerClock::time_point now, std::vector<PendingRequest>& dropped);
  // When expire() has something to do next.
  std::optional<SchedulerClock::time_point> next_expiry() const { return next_expiry_; }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // Requests in the order in which they are due, until `visit` returns false. Those for which it sets `take`
  // are moved out, in that order.
  template <class Visit>
  std::vector<PendingRequest> take_if(Visit visit) {
    std::vector<PendingRequest> taken;
    for (auto& [priority, level] : levels_) {
      for (auto* queue : {&level.waiting, &level.delayed}) {
        if (!take_from(*queue, visit, taken)) return taken;
      }
    }
    return taken;
  }

  std::vector<PendingRequest> take_all();

 private:
  struct Level {
    std::deque<PendingRequest> waiting, delayed;
  };

  template <class Visit>
  bool take_from(std::deque<PendingRequest>& queue, Visit& visit, std::vector<PendingRequest>& taken) {
    bool going_on = true;
    auto kept = queue.begin();
    auto next = queue.begin();
    for (; next != queue.end() && going_on; ++next) {
      bool take = false;
      going_on = visit(static_cast<const PendingRequest&>(*next), take);
      if (take) {
        taken.push_back(std::move(*next));
        --size_;
      } else {
        if (kept != next) *kept = std::move(*next);
        ++kept;
      }
    }
    queue.erase(kept, next);
    return going_on;
  }

  const QueuePolicy& policy_of(uint64_t priority) const;
  void expire(Level& level, bool delays, SchedulerClock::time_point now,
              std::vector<PendingRequest>& dropped);

  const DynamicBatching batching_;
  std::map<uint64_t, Level> levels_;  // those that were used
  size_t size_ = 0;
  std::optional<SchedulerClock::time_point> next_expiry_;
};

}  // namespace zeta::serving
