#include "src/serving/scheduling/rate_limiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "src/serving/scheduling/scheduled_model.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/scheduling/recording_executable.h"
#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {
namespace {

using Limiter = std::shared_ptr<RateLimiter>;

Limiter make(std::vector<ResourceLimit> limits = {}) {
  return std::make_shared<RateLimiter>(std::move(limits));
}

RateLimit needs(std::string resource, uint64_t count, bool is_global = false, uint32_t priority = 1) {
  return {{{std::move(resource), count, is_global}}, priority};
}

std::string refusal(const Limiter& limiter, const RateLimit& limit, int device = 0) {
  return std::string(limiter->add(limit, device).status().message());
}

// Whether both can hold their resources at once.
bool side_by_side(RateLimiter::Instance& first, RateLimiter::Instance& second) {
  first.acquire();
  std::atomic<bool> entered{false};
  std::jthread other([&] {
    second.acquire();
    entered = true;
    second.release();
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (!entered && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  const bool both = entered;
  first.release();
  return both;
}

bool both_fit(const Limiter& limiter, const RateLimit& one, int device, const RateLimit& other,
              int other_device) {
  auto first = limiter->add(one, device), second = limiter->add(other, other_device);
  EXPECT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  return side_by_side(**first, **second);
}

TEST(RateLimiter, WithoutALimitThereIsWhatTheGreediestNeeds) {
  EXPECT_FALSE(both_fit(make(), needs("r", 1), 0, needs("r", 1), 0));
  EXPECT_FALSE(both_fit(make(), needs("r", 2), 0, needs("r", 1), 0));
  EXPECT_TRUE(both_fit(make(), needs("r", 1), 0, needs("s", 1), 0));
  EXPECT_TRUE(both_fit(make(), needs("r", 1), 0, {}, 0)) << "who names none waits for none";
}

TEST(RateLimiter, ALimitSaysHowMany) {
  EXPECT_TRUE(both_fit(make({{"r", 2, {}}}), needs("r", 1), 0, needs("r", 1), 0));
  EXPECT_FALSE(both_fit(make({{"r", 2, {}}}), needs("r", 2), 0, needs("r", 1), 0));
  EXPECT_FALSE(both_fit(make({{"r", 1, {}}, {"r", 2, 1}}), needs("r", 1), 0, needs("r", 1), 0));
  EXPECT_TRUE(both_fit(make({{"r", 1, {}}, {"r", 2, 1}}), needs("r", 1), 1, needs("r", 1), 1));
}

TEST(RateLimiter, ResourcesAreADevicesUnlessTheyAreGlobal) {
  EXPECT_TRUE(both_fit(make(), needs("r", 1), 0, needs("r", 1), 1));
  EXPECT_FALSE(both_fit(make(), needs("r", 1, true), 0, needs("r", 1, true), 1));
}

TEST(RateLimiter, RefusesWhatCouldNeverRun) {
  EXPECT_EQ(refusal(make({{"r", 1, {}}}), needs("r", 4)),
            "Resource count for \"r\" is limited to 1 which will prevent scheduling of one or more model "
            "instances, the minimum required count is 4");
  EXPECT_EQ(refusal(make({{"other", 9, {}}}), needs("r", 4)),
            "Resource count for \"r\" is limited to 0 which will prevent scheduling of one or more model "
            "instances, the minimum required count is 4");
  const Limiter limiter = make();
  const auto kept = limiter->add(needs("r", 1), 0);
  EXPECT_EQ(
      refusal(limiter, needs("r", 1, true)),
      "Resource \"r\" is present as both global and device-specific resource in the model configuration.");
  EXPECT_EQ(refusal(limiter, needs("r", 2)), "") << "the refused one has left nothing behind";
}

// Two instances of each priority, so that one of each always waits.
TEST(RateLimiter, PriorityTwoGetsHalfAsMuch) {
  const Limiter limiter = make();
  std::atomic<int> counts[2] = {0, 0};
  std::atomic<bool> stop{false};
  const auto work = [&](RateLimiter::Instance& instance, int number) {
    while (!stop) {
      instance.acquire();
      std::this_thread::sleep_for(std::chrono::microseconds(500));
      if (++counts[number] + counts[1 - number] >= 300) stop = true;
      instance.release();
    }
  };
  std::vector<std::unique_ptr<RateLimiter::Instance>> instances;
  for (const uint32_t priority : {1U, 2U, 1U, 2U}) {
    auto added = limiter->add(needs("r", 1, false, priority), 0);
    ASSERT_TRUE(added.ok()) << added.status();
    instances.push_back(*std::move(added));
  }
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] { work(*instances[static_cast<size_t>(i)], i % 2); });
    }
  }
  const double ratio = static_cast<double>(counts[0]) / counts[1];
  EXPECT_GT(ratio, 1.7) << counts[0] << " to " << counts[1];
  EXPECT_LT(ratio, 2.4) << counts[0] << " to " << counts[1];
}

TEST(RateLimiter, ModelsThatShareAResourceComputeOneAfterAnother) {
  for (const bool limited : {true, false}) {
    const auto record = std::make_shared<Record>();
    const Limiter limiter = limited ? make() : nullptr;
    std::vector<std::unique_ptr<ScheduledModel>> models;
    for (int i = 0; i < 2; ++i) {
      SchedulingPolicy policy{.max_batch_size = 1};
      policy.instance_groups = {{.name = "g", .rate_limit = needs("r", 1)}};
      auto created = ScheduledModel::create(std::make_unique<RecordingExecutable>(record), policy,
                                            std::make_shared<Statistics>(true), limiter);
      ASSERT_TRUE(created.ok()) << created.status();
      models.push_back(*std::move(created));
    }
    record->hold();
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    for (const auto& model : models) {
      sinks.push_back(std::make_shared<CollectingSink>());
      model->infer(float_request(1), sinks.back());
    }
    record->wait_for_batches(1);
    if (!limited) record->wait_for_batches(2);
    std::this_thread::sleep_for(std::chrono::milliseconds(limited ? 50 : 0));
    EXPECT_EQ(record->sizes().size(), limited ? 1U : 2U);
    record->release();
    for (const auto& sink : sinks) EXPECT_TRUE(sink->wait().at(0).status.ok());
  }
}

}  // namespace
}  // namespace zeta::serving
