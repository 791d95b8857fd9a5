// A request on its way through a scheduler.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "src/serving/backend.h"

namespace zeta::serving {

using SchedulerClock = std::chrono::steady_clock;

struct PendingRequest {
  std::shared_ptr<const InferRequest> request;
  std::shared_ptr<ResponseSink> sink;
  SchedulerClock::time_point arrival;
  int64_t batch_size = 1;     // along dimension 0
  std::string compatibility;  // requests that differ here cannot share a batch
  uint64_t priority = 0;
  std::optional<SchedulerClock::time_point> deadline;  // set by the queue
  bool is_padding = false;                             // fills a place in the batch; nobody asked

  bool cancelled() const { return request->cancellation->cancelled(); }
  void fail(absl::Status status) const {
    if (is_padding) return;
    InferResponse response;
    response.status = std::move(status);
    sink->send(std::move(response));
  }
};

// The batch size of a request, by the first dimension of its inputs; 1 where `max_batch_size` is 0.
// InvalidArgument when inputs disagree, or when there are more items than `max_batch_size` or none.
absl::StatusOr<int64_t> batch_size_of(const InferRequest& request, const std::string& model,
                                      int64_t max_batch_size);

// A non-negative integer parameter; 0 when it is absent. InvalidArgument names it.
absl::StatusOr<uint64_t> unsigned_parameter(const InferRequest& request, const std::string& name);

}  // namespace zeta::serving
