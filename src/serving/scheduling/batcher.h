// What an idle instance runs next.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "src/serving/scheduling/pending_request.h"

namespace zeta::serving {

// Either a batch, or nothing and when to ask again (none: when a request comes).
struct Assignment {
  std::vector<PendingRequest> batch;
  std::vector<PendingRequest> dropped;  // out of time or cancelled: to be answered so
  std::optional<SchedulerClock::time_point> wake;
};

// A way of choosing. Times are given by the caller. Not thread-safe: the scheduler's lock guards it.
class Batcher {
 public:
  virtual ~Batcher() = default;
  // A status other than OK refuses `request` and leaves it as it was.
  virtual absl::Status push(PendingRequest& request, SchedulerClock::time_point now,
                            std::vector<PendingRequest>& dropped) = 0;
  virtual Assignment poll(size_t instance, SchedulerClock::time_point now) = 0;
  // `batch` of poll was executed. `responses`, null when that failed, may be changed before they are sent.
  // Returns which requests wait again, by their place in the batch: those of `again`, where the batcher runs
  // requests more than once; empty: none.
  virtual std::vector<bool> executed(const std::vector<PendingRequest>& /*batch*/,
                                     std::vector<InferResponse>* /*responses*/,
                                     const std::vector<bool>& /*again*/, SchedulerClock::time_point /*now*/) {
    return {};
  }
  // Takes out requests that have waited for too long, and tells when there is more to do so; for whoever
  // looks while all instances are busy.
  virtual void expire(SchedulerClock::time_point /*now*/, std::vector<PendingRequest>& /*dropped*/) {}
  virtual std::optional<SchedulerClock::time_point> next_expiry() const { return std::nullopt; }
  // Whether every instance may take every request.
  virtual bool any_instance() const { return true; }
  // All that wait; poll gives nothing more.
  virtual std::vector<PendingRequest> close() = 0;
};

// Why a request was dropped.
absl::Status drop_reason(const PendingRequest& request);

}  // namespace zeta::serving
