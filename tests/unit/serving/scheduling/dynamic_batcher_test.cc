// Every option of dynamic_batching, with time that stands still: changing it changes what is batched.
#include "src/serving/scheduling/dynamic_batcher.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {
namespace {

using std::chrono::microseconds;
using Values = std::vector<float>;

class Batching {
 public:
  explicit Batching(DynamicBatching options = {}, int64_t max_batch_size = 8)
      : Batching(SchedulingPolicy{.max_batch_size = max_batch_size, .dynamic_batching = std::move(options)}) {
  }
  explicit Batching(const SchedulingPolicy& policy) : batcher_(policy) {}

  absl::Status push(float value, Parameters parameters = {}, int64_t items = 1, int64_t width = 1) {
    return push(float_request(value, items, width, std::move(parameters)));
  }
  absl::Status push(const std::shared_ptr<InferRequest>& request) {
    PendingRequest waiting = pending(request, now_);
    std::vector<PendingRequest> late;
    absl::Status status = batcher_.push(waiting, now_, late);
    note(late);
    return status;
  }
  // The values of the next batch, one for each request.
  Values poll() {
    Assignment next = batcher_.poll(0, now_);
    note(next.dropped);
    wake = next.wake;
    return values(next.batch);
  }
  void pass(int64_t us) { now_ += microseconds(us); }
  SchedulerClock::time_point now() const { return now_; }

  Values dropped;
  std::vector<std::string> reasons;
  std::optional<SchedulerClock::time_point> wake;

 private:
  static Values values(const std::vector<PendingRequest>& requests) {
    Values list;
    for (const auto& request : requests) list.push_back(values_of(request.request->inputs.front()).front());
    return list;
  }
  void note(const std::vector<PendingRequest>& requests) {
    for (const float value : values(requests)) dropped.push_back(value);
    for (const auto& request : requests) reasons.emplace_back(drop_reason(request).message());
  }

  DynamicBatcher batcher_;
  SchedulerClock::time_point now_{std::chrono::hours(1)};
};

DynamicBatching with_timeout(QueuePolicy::TimeoutAction action, int64_t timeout_us, bool override = false) {
  DynamicBatching options;
  options.default_queue_policy.timeout_action = action;
  options.default_queue_policy.default_timeout = microseconds(timeout_us);
  options.default_queue_policy.allow_timeout_override = override;
  return options;
}

Parameters parameter(const char* name, int64_t value) { return {{name, value}}; }

TEST(DynamicBatcher, TakesAllThatFitsAtOnce) {
  Batching batching;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(batching.push(i).ok());
  EXPECT_EQ(batching.poll(), (Values{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(batching.poll(), (Values{8, 9}));
  EXPECT_EQ(batching.poll(), Values{});
  EXPECT_FALSE(batching.wake.has_value());
}

TEST(DynamicBatcher, WithoutDynamicBatchingEachRequestIsABatch) {
  Batching batching(SchedulingPolicy{.max_batch_size = 8});
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(batching.push(i).ok());
  EXPECT_EQ(batching.poll(), Values{0});
  EXPECT_EQ(batching.poll(), Values{1});
}

TEST(DynamicBatcher, CountsTheItemsOfRequests) {
  Batching batching;
  ASSERT_TRUE(batching.push(0, {}, 5).ok());
  ASSERT_TRUE(batching.push(1, {}, 4).ok());
  ASSERT_TRUE(batching.push(2, {}, 3).ok());
  EXPECT_EQ(batching.poll(), Values{0}) << "5 + 4 are more than 8, and 3 does not overtake 4";
  EXPECT_EQ(batching.poll(), (Values{1, 2}));
}

TEST(DynamicBatcher, MaxBatchSizeBounds) {
  for (const int64_t max : {1, 3}) {
    Batching batching(DynamicBatching{}, max);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(batching.push(i).ok());
    EXPECT_EQ(batching.poll().size(), static_cast<size_t>(max));
  }
}

TEST(DynamicBatcher, OnlyCompatibleRequestsGoTogether) {
  Batching batching;
  for (const int64_t width : {1, 2, 1, 2}) ASSERT_TRUE(batching.push(width, {}, 1, width).ok());
  EXPECT_EQ(batching.poll(), (Values{1, 1}));
  EXPECT_EQ(batching.poll(), (Values{2, 2}));
}

TEST(DynamicBatcher, LooksOnlySoFarPastOtherRequests) {
  Batching batching;
  ASSERT_TRUE(batching.push(1).ok());
  for (size_t i = 0; i < DynamicBatcher::kLookahead; ++i) ASSERT_TRUE(batching.push(2, {}, 1, 2).ok());
  ASSERT_TRUE(batching.push(1).ok());
  EXPECT_EQ(batching.poll(), Values{1});
}

TEST(DynamicBatcher, PreferredBatchSizeIsTakenFirst) {
  Batching batching({.preferred_batch_size = {2, 4}});
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(batching.push(i).ok());
  EXPECT_EQ(batching.poll(), (Values{0, 1, 2, 3})) << "the largest that can be had";
  EXPECT_EQ(batching.poll(), (Values{4, 5}));
  EXPECT_EQ(batching.poll(), Values{6}) << "no preferred size can be had and there is no delay";
}

TEST(DynamicBatcher, MaxQueueDelayWaitsForMore) {
  Batching batching({.max_queue_delay = microseconds(100)});
  ASSERT_TRUE(batching.push(0).ok());
  batching.pass(60);
  ASSERT_TRUE(batching.push(1).ok());
  EXPECT_EQ(batching.poll(), Values{});
  EXPECT_EQ(batching.wake, batching.now() + microseconds(40)) << "counted from the oldest";
  batching.pass(40);
  EXPECT_EQ(batching.poll(), (Values{0, 1}));
}

TEST(DynamicBatcher, MaxQueueDelayEndsWithAFullBatch) {
  Batching batching({.max_queue_delay = microseconds(100)}, 2);
  ASSERT_TRUE(batching.push(0).ok());
  EXPECT_EQ(batching.poll(), Values{});
  ASSERT_TRUE(batching.push(1).ok());
  EXPECT_EQ(batching.poll(), (Values{0, 1}));
  ASSERT_TRUE(batching.push(2).ok());
  ASSERT_TRUE(batching.push(3, {}, 2).ok());
  EXPECT_EQ(batching.poll(), Values{2}) << "the next would not fit, so waiting gains nothing";
}

TEST(DynamicBatcher, MaxQueueDelayEndsWithAPreferredSize) {
  Batching batching({.preferred_batch_size = {2}, .max_queue_delay = microseconds(100)});
  ASSERT_TRUE(batching.push(0).ok());
  EXPECT_EQ(batching.poll(), Values{});
  ASSERT_TRUE(batching.push(1).ok());
  ASSERT_TRUE(batching.push(2).ok());
  EXPECT_EQ(batching.poll(), (Values{0, 1}));
  EXPECT_EQ(batching.poll(), Values{});
  batching.pass(100);
  EXPECT_EQ(batching.poll(), Values{2}) << "though not preferred";
}

TEST(DynamicBatcher, PriorityLevelsOrderRequests) {
  Batching batching({.priority_levels = 3, .default_priority_level = 2}, 2);
  ASSERT_TRUE(batching.push(30, parameter("priority", 3)).ok());
  ASSERT_TRUE(batching.push(20).ok());
  ASSERT_TRUE(batching.push(21, parameter("priority", 9)).ok()) << "no such level: the default";
  ASSERT_TRUE(batching.push(10, parameter("priority", 1)).ok());
  EXPECT_EQ(batching.poll(), (Values{10, 20}));
  EXPECT_EQ(batching.poll(), (Values{21, 30}));
}

TEST(DynamicBatcher, DefaultPriorityLevelIsThatOfPlainRequests) {
  for (const uint64_t level : {1, 3}) {
    Batching batching({.priority_levels = 3, .default_priority_level = level}, 1);
    ASSERT_TRUE(batching.push(2, parameter("priority", 2)).ok());
    ASSERT_TRUE(batching.push(0).ok());
    EXPECT_EQ(batching.poll(), Values{level == 1 ? 0.0F : 2.0F});
  }
}

TEST(DynamicBatcher, WithoutLevelsPriorityMeansNothing) {
  Batching batching({}, 1);
  ASSERT_TRUE(batching.push(2, parameter("priority", 2)).ok());
  ASSERT_TRUE(batching.push(1, parameter("priority", 1)).ok());
  EXPECT_EQ(batching.poll(), Values{2});
}

TEST(DynamicBatcher, RejectsAfterTheTimeout) {
  Batching batching(with_timeout(QueuePolicy::TimeoutAction::kReject, 100));
  ASSERT_TRUE(batching.push(0).ok());
  batching.pass(50);
  ASSERT_TRUE(batching.push(1).ok());
  batching.pass(50);
  EXPECT_EQ(batching.poll(), Values{1});
  EXPECT_EQ(batching.dropped, Values{0});
  EXPECT_EQ(batching.reasons, std::vector<std::string>{"Request timeout expired"});
}

TEST(DynamicBatcher, AnArrivalRejectsToo) {
  Batching batching(with_timeout(QueuePolicy::TimeoutAction::kReject, 100));
  ASSERT_TRUE(batching.push(0).ok());
  batching.pass(100);
  ASSERT_TRUE(batching.push(1).ok());
  EXPECT_EQ(batching.dropped, Values{0}) << "without an instance that is free";
}

TEST(DynamicBatcher, DelaysAfterTheTimeout) {
  DynamicBatching options = with_timeout(QueuePolicy::TimeoutAction::kDelay, 100);
  options.priority_levels = 2;
  options.default_priority_level = 1;
  Batching batching(options, 1);
  ASSERT_TRUE(batching.push(0).ok());
  batching.pass(100);
  ASSERT_TRUE(batching.push(1).ok());
  ASSERT_TRUE(batching.push(2, parameter("priority", 2)).ok());
  EXPECT_EQ(batching.poll(), Values{1});
  EXPECT_EQ(batching.poll(), Values{0}) << "behind its level, before the next";
  EXPECT_EQ(batching.poll(), Values{2});
  EXPECT_EQ(batching.dropped, Values{});
}

TEST(DynamicBatcher, ARequestMayShortenItsTimeout) {
  for (const bool allowed : {false, true}) {
    Batching batching(with_timeout(QueuePolicy::TimeoutAction::kReject, 100, allowed));
    ASSERT_TRUE(batching.push(0, parameter("timeout", 50)).ok());
    ASSERT_TRUE(batching.push(1, parameter("timeout", 500)).ok());
    batching.pass(60);
    EXPECT_EQ(batching.poll(), allowed ? Values{1} : (Values{0, 1}));
    ASSERT_TRUE(batching.push(1, parameter("timeout", 500)).ok());
    batching.pass(110);
    EXPECT_EQ(batching.poll(), Values{}) << "not lengthen it";
  }
}

TEST(DynamicBatcher, ARequestMaySetATimeoutWhereThereIsNone) {
  Batching batching(with_timeout(QueuePolicy::TimeoutAction::kReject, 0, true));
  ASSERT_TRUE(batching.push(0, parameter("timeout", 50)).ok());
  ASSERT_TRUE(batching.push(1).ok());
  batching.pass(60);
  EXPECT_EQ(batching.poll(), Values{1});
}

TEST(DynamicBatcher, WakesForATimeoutBeforeTheDelay) {
  DynamicBatching options = with_timeout(QueuePolicy::TimeoutAction::kReject, 50);
  options.max_queue_delay = microseconds(100);
  Batching batching(options);
  ASSERT_TRUE(batching.push(0).ok());
  EXPECT_EQ(batching.poll(), Values{});
  EXPECT_EQ(batching.wake, batching.now() + microseconds(50));
}

TEST(DynamicBatcher, MaxQueueSizeRefusesMore) {
  DynamicBatching options;
  options.default_queue_policy.max_queue_size = 2;
  Batching batching(options);
  ASSERT_TRUE(batching.push(0).ok());
  ASSERT_TRUE(batching.push(1).ok());
  const absl::Status refused = batching.push(2);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(refused.message(), "Exceeds maximum queue size");
  EXPECT_EQ(batching.poll(), (Values{0, 1}));
  EXPECT_TRUE(batching.push(3).ok());
}

TEST(DynamicBatcher, RequestsWithoutAClientMakeRoom) {
  DynamicBatching options;
  options.default_queue_policy.max_queue_size = 1;
  Batching batching(options);
  auto gone = float_request(0);
  ASSERT_TRUE(batching.push(gone).ok());
  gone->cancellation->cancel();
  EXPECT_TRUE(batching.push(1).ok());
  EXPECT_EQ(batching.dropped, Values{0});
  EXPECT_EQ(batching.reasons, std::vector<std::string>{"Request cancelled"});
}

TEST(DynamicBatcher, PrioritiesHaveQueuePoliciesOfTheirOwn) {
  DynamicBatching options{.priority_levels = 2, .default_priority_level = 2};
  options.priority_queue_policy[1].max_queue_size = 1;
  options.priority_queue_policy[1].default_timeout = microseconds(10);
  Batching batching(options);
  ASSERT_TRUE(batching.push(10, parameter("priority", 1)).ok());
  EXPECT_FALSE(batching.push(11, parameter("priority", 1)).ok());
  ASSERT_TRUE(batching.push(20).ok());
  ASSERT_TRUE(batching.push(21).ok());
  batching.pass(10);
  EXPECT_EQ(batching.poll(), (Values{20, 21}));
  EXPECT_EQ(batching.dropped, Values{10});
}

TEST(DynamicBatcher, CancelledRequestsAreNotRun) {
  Batching batching;
  std::vector<std::shared_ptr<InferRequest>> requests;
  for (int i = 0; i < 5; ++i) {
    requests.push_back(float_request(static_cast<float>(i), 1, i == 3 ? 2 : 1));
    ASSERT_TRUE(batching.push(requests.back()).ok());
  }
  requests[0]->cancellation->cancel();
  requests[2]->cancellation->cancel();
  EXPECT_EQ(batching.poll(), (Values{1, 4}));
  EXPECT_EQ(batching.dropped, (Values{0, 2}));
  EXPECT_EQ(batching.poll(), Values{3});
}

}  // namespace
}  // namespace zeta::serving
