// Batches of independent requests.
#pragma once

#include <cstdint>
#include <vector>

#include "src/serving/scheduling/batcher.h"
#include "src/serving/scheduling/policy.h"
#include "src/serving/scheduling/request_queue.h"

namespace zeta::serving {

// The batch starts with the request that is due first and grows by the compatible ones behind it, in order
// and up to max_batch_size. Of these it takes
//   - the largest preferred size that can be had, at once;
//   - else all, if no further request would fit, or once the oldest has waited for max_queue_delay.
// Unlike Triton, which ends a batch at the first request of another shape, it looks past up to kLookahead of
// them; they keep their place. Without DynamicBatching each request is a batch.
class DynamicBatcher final : public Batcher {
 public:
  static constexpr size_t kLookahead = 256;

  explicit DynamicBatcher(const SchedulingPolicy& policy);
  absl::Status push(PendingRequest& request, SchedulerClock::time_point now,
                    std::vector<PendingRequest>& dropped) override;
  Assignment poll(size_t instance, SchedulerClock::time_point now) override;
  void expire(SchedulerClock::time_point now, std::vector<PendingRequest>& dropped) override {
    queue_.expire(now, dropped);
  }
  std::optional<SchedulerClock::time_point> next_expiry() const override { return queue_.next_expiry(); }
  std::vector<PendingRequest> close() override { return queue_.take_all(); }

 private:
  // The requests that could go together now.
  struct Candidates {
    size_t count = 0;            // of requests
    size_t preferred_count = 0;  // as many make the largest preferred size; 0: none does
    bool complete = false;       // nothing more would fit
    SchedulerClock::time_point oldest;
  };
  Candidates find_candidates(std::vector<PendingRequest>& dropped);
  std::vector<PendingRequest> take(size_t count);
  bool is_preferred(int64_t size) const;

  const int64_t max_batch_size_;
  const bool batches_;
  const std::vector<int64_t> preferred_;
  const std::chrono::microseconds delay_;
  RequestQueue queue_;
};

}  // namespace zeta::serving
