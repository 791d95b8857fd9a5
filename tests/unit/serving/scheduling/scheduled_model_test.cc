// Threads, instances and answers, with an executable that records its batches.
#include "src/serving/scheduling/scheduled_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/scheduling/recording_executable.h"
#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {
namespace {

SchedulingPolicy batching(int64_t max_batch_size = 8) {
  return {.max_batch_size = max_batch_size, .dynamic_batching = DynamicBatching{}};
}

class Scheduled {
 public:
  explicit Scheduled(SchedulingPolicy policy) {
    auto executable = std::make_unique<RecordingExecutable>(record);
    auto created = ScheduledModel::create(std::move(executable), std::move(policy), statistics);
    EXPECT_TRUE(created.ok()) << created.status();
    model = *std::move(created);
  }
  std::shared_ptr<CollectingSink> infer(std::shared_ptr<const InferRequest> request) {
    auto sink = std::make_shared<CollectingSink>();
    model->infer(std::move(request), sink);
    return sink;
  }
  std::shared_ptr<Record> record = std::make_shared<Record>();
  std::shared_ptr<Statistics> statistics = std::make_shared<Statistics>(true);
  std::unique_ptr<ScheduledModel> model;
};

TEST(ScheduledModel, JoinsWaitingRequestsAndSharesTheAnswerOut) {
  Scheduled scheduled(batching());
  scheduled.record->hold();
  std::vector<std::shared_ptr<CollectingSink>> sinks{scheduled.infer(float_request(0))};
  scheduled.record->wait_for_batches(1);
  for (int i = 1; i < 4; ++i) sinks.push_back(scheduled.infer(float_request(static_cast<float>(i), i, 2)));
  EXPECT_EQ(scheduled.statistics->snapshot().pending, 3);
  scheduled.record->release();
  for (int i = 0; i < 4; ++i) {
    const auto responses = sinks[static_cast<size_t>(i)]->wait();
    ASSERT_EQ(responses.size(), 1U);
    ASSERT_TRUE(responses[0].status.ok()) << responses[0].status;
    const Tensor& output = responses[0].outputs.at(0);
    EXPECT_EQ(output.shape, (std::vector<int64_t>{std::max(i, 1), i == 0 ? 1 : 2}));
    for (const float value : values_of(output)) EXPECT_EQ(value, static_cast<float>(2 * i));
  }
  EXPECT_EQ(scheduled.record->sizes(), (std::vector<int64_t>{1, 6}));
}

TEST(ScheduledModel, CountsWhatTheStatisticsExtensionNames) {
  Scheduled scheduled(batching());
  scheduled.record->hold();
  auto first = scheduled.infer(float_request(0));
  scheduled.record->wait_for_batches(1);
  auto second = scheduled.infer(float_request(1, 2));
  auto third = scheduled.infer(float_request(2, 3));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  scheduled.record->release();
  for (const auto& sink : {first, second, third}) sink->wait();
  const StatisticsSnapshot reading = scheduled.statistics->snapshot();
  EXPECT_EQ(reading.inference_count, 6U);
  EXPECT_EQ(reading.execution_count, 2U);
  EXPECT_EQ(reading.queue.count, 3U);
  EXPECT_GE(reading.queue.ns, 10'000'000U) << "two requests waited for 5 ms each";
  EXPECT_EQ(reading.compute_infer.count, 3U);
  EXPECT_EQ(reading.batches.at(1).compute_infer.count, 1U);
  EXPECT_EQ(reading.batches.at(5).compute_infer.count, 1U);
  EXPECT_GE(reading.batches.at(1).compute_infer.ns, 5'000'000U);
  EXPECT_EQ(reading.pending, 0);
  EXPECT_GT(reading.last_inference_ms, 0U);
}

TEST(ScheduledModel, InstancesRunAtTheSameTime) {
  for (const int count : {1, 3}) {
    SchedulingPolicy policy = batching(1);
    policy.instance_groups = {{.name = "g", .count = count}};
    Scheduled scheduled(policy);
    scheduled.record->hold();
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    for (int i = 0; i < 3; ++i) sinks.push_back(scheduled.infer(float_request(0)));
    scheduled.record->wait_for_batches(static_cast<size_t>(count));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(scheduled.record->sizes().size(), static_cast<size_t>(count));
    scheduled.record->release();
    for (const auto& sink : sinks) EXPECT_TRUE(sink->wait().at(0).status.ok());
  }
}

TEST(ScheduledModel, PreserveOrderingHoldsBackWhatIsEarly) {
  for (const bool ordered : {false, true}) {
    SchedulingPolicy policy = batching(1);
    policy.dynamic_batching->preserve_ordering = ordered;
    policy.instance_groups = {{.count = 2}};
    Scheduled scheduled(policy);
    scheduled.record->hold_value(1);
    auto slow = scheduled.infer(float_request(1));
    auto quick = scheduled.infer(float_request(2));
    scheduled.record->wait_for_batches(2);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(quick->ended(), !ordered);
    scheduled.record->release();
    EXPECT_TRUE(slow->wait().at(0).status.ok());
    EXPECT_TRUE(quick->wait().at(0).status.ok());
  }
}

TEST(ScheduledModel, GivesEachRequestTheOutputsItWants) {
  Scheduled scheduled(batching());
  scheduled.record->hold();
  auto first = scheduled.infer(float_request(0));
  scheduled.record->wait_for_batches(1);
  auto one = float_request(1), other = float_request(2);
  one->requested_outputs = {"Y"};
  other->requested_outputs = {"SUM"};
  auto a = scheduled.infer(one), b = scheduled.infer(other);
  scheduled.record->release();
  EXPECT_EQ(first->wait().at(0).outputs.size(), 2U);
  EXPECT_EQ(a->wait().at(0).outputs.at(0).name, "Y");
  EXPECT_EQ(b->wait().at(0).outputs.at(0).name, "SUM");
  EXPECT_EQ(scheduled.record->wanted().back(), (std::vector<std::string>{"Y", "SUM"}));
}

TEST(ScheduledModel, ParametersReachTheModelAndPartBatches) {
  Scheduled scheduled(batching());
  scheduled.record->hold();
  auto first = scheduled.infer(float_request(0));
  scheduled.record->wait_for_batches(1);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (const int64_t k : {1, 2, 1}) {
    sinks.push_back(scheduled.infer(float_request(0, 1, 1, {{"k", k}, {"priority", k}})));
  }
  scheduled.record->release();
  for (const auto& sink : sinks) sink->wait();
  EXPECT_EQ(scheduled.record->sizes(), (std::vector<int64_t>{1, 2, 1}));
  EXPECT_EQ(scheduled.record->parameters().back(), (Parameters{{"k", int64_t{2}}}));
}

TEST(ScheduledModel, AFailureIsTheBatchsAndTheModelGoesOn) {
  Scheduled scheduled(batching());
  for (const float value : {RecordingExecutable::kThrows, RecordingExecutable::kNoMemory,
                            RecordingExecutable::kWrongSize, RecordingExecutable::kRefuses}) {
    const auto response = scheduled.infer(float_request(value))->wait().at(0);
    EXPECT_EQ(response.status.code(), absl::StatusCode::kInternal) << response.status;
    EXPECT_FALSE(response.status.message().empty());
  }
  EXPECT_EQ(scheduled.infer(float_request(RecordingExecutable::kWrongSize))->wait().at(0).status.message(),
            "output 'Y' of model 'recorder' has shape [2,1], expected 1 items in dimension 0");
  EXPECT_TRUE(scheduled.infer(float_request(1))->wait().at(0).status.ok());
  EXPECT_EQ(scheduled.statistics->snapshot().execution_count, 1U);
}

TEST(ScheduledModel, RefusesWhatIsNoBatch) {
  Scheduled scheduled(batching(2));
  const auto refusal = [&](const std::shared_ptr<InferRequest>& request) {
    const auto response = scheduled.infer(request)->wait().at(0);
    EXPECT_EQ(response.status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(response.status.message());
  };
  EXPECT_EQ(refusal(float_request(0, 3)), "inference request batch-size must be <= 2 for 'recorder', got 3");
  EXPECT_EQ(refusal(float_request(0, 0)), "expected a batch of at least 1 for 'recorder'");
  EXPECT_EQ(refusal(float_request(0, 1, 1, {{"priority", int64_t{-1}}})),
            "parameter 'priority' must be a non-negative integer");
  EXPECT_EQ(refusal(float_request(0, 1, 1, {{"timeout", 0.5}})),
            "parameter 'timeout' must be a non-negative integer");
  auto two = float_request(0);
  two->inputs.push_back(floats("Z", {2, 1}, {1, 2}));
  EXPECT_EQ(refusal(two),
            "input 'Z' batch size does not match other inputs for 'recorder': got 2, but 'X' has 1");
}

TEST(ScheduledModel, UnloadingAnswersWhatWaits) {
  Scheduled scheduled(batching());
  scheduled.record->hold();
  auto running = scheduled.infer(float_request(0));
  scheduled.record->wait_for_batches(1);
  auto waiting = scheduled.infer(float_request(1));
  std::jthread unload([&] { scheduled.model.reset(); });
  EXPECT_EQ(waiting->wait().at(0).status.code(), absl::StatusCode::kUnavailable);
  scheduled.record->release();
  EXPECT_TRUE(running->wait().at(0).status.ok());
  unload.join();
  EXPECT_EQ(scheduled.statistics->snapshot().pending, 0);
}

TEST(ScheduledModel, WarmsEachInstanceUp) {
  SchedulingPolicy policy = batching(4);
  policy.instance_groups = {{.count = 2}};
  policy.warmup = {{.name = "w", .batch_size = 3, .count = 2, .inputs = {floats("X", {2}, {7, 8})}}};
  Scheduled scheduled(policy);
  EXPECT_EQ(scheduled.record->sizes(), (std::vector<int64_t>{3, 3, 3, 3}));
  EXPECT_EQ(scheduled.record->inputs().front(), (std::vector<float>{7, 8, 7, 8, 7, 8}));
  EXPECT_EQ(scheduled.statistics->snapshot().execution_count, 0U) << "not a request";
}

TEST(ScheduledModel, AFailedWarmUpFailsTheLoad) {
  SchedulingPolicy policy = batching(4);
  policy.warmup = {{.name = "w", .inputs = {floats("X", {1}, {RecordingExecutable::kRefuses})}}};
  const auto created =
      ScheduledModel::create(std::make_unique<RecordingExecutable>(std::make_shared<Record>()), policy,
                             std::make_shared<Statistics>(true));
  EXPECT_EQ(created.status().message(),
            "failed to run warmup sample 'w' on instance recorder_0_0: told to refuse");
}

TEST(ScheduledModel, AFailedInstanceFailsTheLoad) {
  SchedulingPolicy policy = batching(4);
  policy.instance_groups = {{.name = "g", .kind = Placement::Kind::kGpu, .count = 2, .gpus = {0, 3}}};
  const auto created =
      ScheduledModel::create(std::make_unique<RecordingExecutable>(std::make_shared<Record>()), policy,
                             std::make_shared<Statistics>(true));
  EXPECT_EQ(created.status().message(), "no GPU 3");
}

TEST(PlacementsOf, CountsForEachGpu) {
  const SchedulingPolicy policy{
      .instance_groups = {{.count = 2},
                          {.name = "g", .kind = Placement::Kind::kGpu, .count = 2, .gpus = {1, 3}}}};
  std::vector<std::string> names;
  for (const PlacedInstance& one : instances_of("m", policy.instance_groups))
    names.push_back(one.placement.name);
  EXPECT_EQ(names, (std::vector<std::string>{"m_0_0", "m_0_1", "g_0 (GPU 1)", "g_1 (GPU 1)", "g_0 (GPU 3)",
                                             "g_1 (GPU 3)"}));
}

TEST(ScheduledModel, SequencesRunInTheirOrderOnOneInstance) {
  SchedulingPolicy policy{.max_batch_size = 4, .sequence_batching = SequenceBatching{}};
  policy.instance_groups = {{.count = 2}};
  Scheduled scheduled(policy);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (int step = 0; step < 20; ++step) {
    for (const int64_t id : {1, 2, 3}) {
      Parameters parameters{{"sequence_id", id}, {"sequence_start", step == 0}, {"sequence_end", step == 19}};
      sinks.push_back(scheduled.infer(float_request(static_cast<float>(100 * id + step), 1, 1, parameters)));
    }
  }
  for (size_t i = 0; i < sinks.size(); ++i) {
    const auto response = sinks[i]->wait().at(0);
    ASSERT_TRUE(response.status.ok()) << response.status;
    EXPECT_EQ(values_of(response.outputs.at(0)).front(), 2 * static_cast<float>(100 * (i % 3 + 1) + i / 3));
  }
  std::vector<float> first;  // the requests of the first sequence, as they were run
  for (const auto& values : scheduled.record->inputs()) {
    for (const float value : values) {
      if (value >= 100 && value < 200 && (first.empty() || first.back() != value)) first.push_back(value);
    }
  }
  EXPECT_TRUE(std::ranges::is_sorted(first));
  EXPECT_EQ(scheduled.statistics->snapshot().inference_count, 60U);
  EXPECT_EQ(scheduled.statistics->snapshot().pending, 0);
}

TEST(ScheduledModel, ARequestWhoseTimeIsUpIsAnsweredWhileAllInstancesAreBusy) {
  SchedulingPolicy policy = batching(1);
  policy.dynamic_batching->default_queue_policy.default_timeout = std::chrono::milliseconds(10);
  Scheduled scheduled(policy);
  scheduled.record->hold();
  const auto first = scheduled.infer(float_request(0));
  scheduled.record->wait_for_batches(1);
  const auto late = scheduled.infer(float_request(1));
  const auto responses = late->wait();  // the instance is still held
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_EQ(responses[0].status.message(), "Request timeout expired");
  EXPECT_TRUE(absl::IsUnavailable(responses[0].status));
  EXPECT_EQ(scheduled.statistics->snapshot().pending, 0);
  EXPECT_FALSE(first->ended());
  scheduled.record->release();
  EXPECT_TRUE(first->wait().at(0).status.ok());
}

TEST(ScheduledModel, ChangesItsInstancesWhileItServes) {
  SchedulingPolicy policy = batching(1);
  policy.instance_groups = {{.name = "g", .count = 1}};
  Scheduled scheduled(policy);
  for (const int count : {3, 2, 1, 2}) {
    policy.instance_groups[0].count = count;
    ASSERT_TRUE(scheduled.model->set_instances(policy.instance_groups).ok());
    scheduled.record->hold();
    const size_t before = scheduled.record->sizes().size();
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    for (int i = 0; i < 4; ++i) sinks.push_back(scheduled.infer(float_request(0)));
    scheduled.record->wait_for_batches(before + static_cast<size_t>(count));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(scheduled.record->sizes().size(), before + static_cast<size_t>(count));
    scheduled.record->release();
    for (const auto& sink : sinks) EXPECT_TRUE(sink->wait().at(0).status.ok());
  }
  policy.instance_groups[0] = {.name = "g", .kind = Placement::Kind::kGpu, .count = 1, .gpus = {3}};
  EXPECT_EQ(scheduled.model->set_instances(policy.instance_groups).message(), "no GPU 3");
  EXPECT_TRUE(scheduled.infer(float_request(0))->wait().at(0).status.ok())
      << "those of before are still there";
}

// Many clients, instances, cancellations and an end in the midst; the thread sanitizer watches.
TEST(ScheduledModel, EveryRequestIsAnsweredOnce) {
  SchedulingPolicy policy = batching(8);
  policy.dynamic_batching->max_queue_delay = std::chrono::microseconds(50);
  policy.dynamic_batching->default_queue_policy.max_queue_size = 64;
  policy.dynamic_batching->default_queue_policy.default_timeout = std::chrono::milliseconds(2);
  policy.dynamic_batching->preserve_ordering = true;
  policy.instance_groups = {{.count = 3}};
  Scheduled scheduled(policy);
  std::atomic<int> right{0};
  const auto client = [&](int seed) {
    for (int i = 0; i < 200; ++i) {
      const auto value = static_cast<float>(seed * 1000 + i);
      auto request = float_request(value, 1 + i % 3, 1 + i % 2);
      auto sink = scheduled.infer(request);
      if (i % 7 == 0) request->cancellation->cancel();
      const auto responses = sink->wait();
      ASSERT_EQ(responses.size(), 1U);
      if (!responses[0].status.ok()) continue;
      for (const float answer : values_of(responses[0].outputs.at(0))) ASSERT_EQ(answer, 2 * value);
      ++right;
    }
  };
  {
    std::vector<std::jthread> clients;
    for (int seed = 1; seed <= 4; ++seed) clients.emplace_back(client, seed);
  }
  EXPECT_GT(right, 0);
  EXPECT_EQ(scheduled.statistics->snapshot().pending, 0);
}

}  // namespace
}  // namespace zeta::serving
