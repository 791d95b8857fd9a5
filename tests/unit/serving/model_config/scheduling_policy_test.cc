#include "src/serving/model_config/policy.h"

#include <gtest/gtest.h>

#include <string>

#include "src/serving/scheduling/pending_request.h"
#include "src/serving/scheduling/sequence_tensors.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/model_config/config_text.h"
#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

using std::chrono::microseconds;

SchedulingPolicy policy_of(const std::string& text, const std::string& folder = "") {
  auto policy = scheduling_policy(read_config(text), folder);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *std::move(policy) : SchedulingPolicy{};
}

std::string refusal(const std::string& text, const std::string& folder) {
  return std::string(scheduling_policy(read_config(text), folder).status().message());
}

TEST(SchedulingPolicyOf, DynamicBatching) {
  const auto policy = policy_of(
      "max_batch_size: 16 dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100\n"
      "  preserve_ordering: true priority_levels: 3 default_priority_level: 2\n"
      "  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 7 "
      "allow_timeout_override: true\n"
      "                         max_queue_size: 9 }\n"
      "  priority_queue_policy { key: 1 value { max_queue_size: 5 } } }");
  EXPECT_EQ(policy.max_batch_size, 16);
  ASSERT_TRUE(policy.dynamic_batching);
  EXPECT_FALSE(policy.sequence_batching);
  const DynamicBatching& batching = *policy.dynamic_batching;
  EXPECT_EQ(batching.preferred_batch_size, (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(batching.max_queue_delay, microseconds(100));
  EXPECT_TRUE(batching.preserve_ordering);
  EXPECT_EQ(batching.priority_levels, 3u);
  EXPECT_EQ(batching.default_priority_level, 2u);
  EXPECT_EQ(batching.default_queue_policy.timeout_action, QueuePolicy::TimeoutAction::kDelay);
  EXPECT_EQ(batching.default_queue_policy.default_timeout, microseconds(7));
  EXPECT_TRUE(batching.default_queue_policy.allow_timeout_override);
  EXPECT_EQ(batching.default_queue_policy.max_queue_size, 9u);
  EXPECT_EQ(batching.priority_queue_policy.at(1).max_queue_size, 5u);
}

TEST(SchedulingPolicyOf, TimesThatNeverEndDoNotWrapAround) {
  const std::string most = "18446744073709551615", most_signed = "9223372036854775807";
  const auto dynamic = policy_of("dynamic_batching { max_queue_delay_microseconds: " + most_signed +
                                 " default_queue_policy { default_timeout_microseconds: " + most + " } }");
  const auto oldest = policy_of("sequence_batching { max_sequence_idle_microseconds: " + most_signed +
                                " oldest { max_queue_delay_microseconds: " + most + " } }");
  const auto direct =
      policy_of("sequence_batching { direct { max_queue_delay_microseconds: " + most_signed + " } }");
  const auto now = SchedulerClock::now();
  for (const microseconds time :
       {dynamic.dynamic_batching->max_queue_delay,
        dynamic.dynamic_batching->default_queue_policy.default_timeout,
        oldest.sequence_batching->max_sequence_idle, oldest.sequence_batching->max_queue_delay,
        direct.sequence_batching->max_queue_delay}) {
    EXPECT_GT(now + time, now + std::chrono::years(1));
  }
}

TEST(SchedulingPolicyOf, SequencesAndTheirStates) {
  const ModelFolder folder;
  folder.write("initial_state/start", "12345678");
  const auto policy = policy_of(
      "max_batch_size: 2 sequence_batching { max_sequence_idle_microseconds: 5\n"
      "  oldest { max_candidate_sequences: 3 max_queue_delay_microseconds: 6 preserve_ordering: true }\n"
      "  control_input { name: 'START' control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0.5, 1.5] } "
      "}\n"
      "  control_input { name: 'END' control { kind: CONTROL_SEQUENCE_END bool_false_true: [true, false] } "
      "}\n"
      "  control_input { name: 'READY' control { kind: CONTROL_SEQUENCE_READY int32_false_true: [0, 1] } }\n"
      "  control_input { name: 'ID' control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }\n"
      "  state { input_name: 'I' output_name: 'O' data_type: TYPE_FP32 dims: 2\n"
      "          initial_state { name: 'n' data_type: TYPE_FP32 dims: 2 data_file: 'start' } } }",
      folder.path());
  ASSERT_TRUE(policy.sequence_batching);
  const SequenceBatching& batching = *policy.sequence_batching;
  EXPECT_EQ(batching.strategy, SequenceBatching::Strategy::kOldest);
  EXPECT_EQ(batching.max_sequence_idle, microseconds(5));
  EXPECT_EQ(batching.max_candidate_sequences, 3);
  EXPECT_EQ(batching.max_queue_delay, microseconds(6));
  EXPECT_TRUE(batching.preserve_ordering);
  ASSERT_EQ(batching.controls.size(), 4u);
  EXPECT_EQ(batching.controls[0].off, 0.5);
  EXPECT_EQ(batching.controls[0].on, 1.5);
  EXPECT_EQ(batching.controls[1].kind, SequenceControl::Kind::kEnd);
  EXPECT_EQ(batching.controls[1].datatype, DataType::kBool);
  EXPECT_EQ(batching.controls[1].off, 1);
  EXPECT_EQ(batching.controls[2].datatype, DataType::kInt32);
  EXPECT_EQ(batching.controls[3].kind, SequenceControl::Kind::kCorrelationId);
  EXPECT_EQ(batching.controls[3].datatype, DataType::kUint64);
  ASSERT_EQ(batching.states.size(), 1u);
  EXPECT_EQ(batching.states[0].initial, "12345678");

  const auto direct = policy_of(
      "sequence_batching { direct { minimum_slot_utilization: 0.5 max_queue_delay_microseconds: 8 } }");
  EXPECT_EQ(direct.sequence_batching->strategy, SequenceBatching::Strategy::kDirect);
  EXPECT_EQ(direct.sequence_batching->minimum_slot_utilization, 0.5);
  EXPECT_EQ(direct.sequence_batching->max_queue_delay, microseconds(8));
}

TEST(SchedulingPolicyOf, InitialStatesHaveTheirOwnDims) {
  const ModelFolder folder;
  folder.write("initial_state/start", "12345678");
  const auto config = [](const std::string& dims) {
    return "sequence_batching { state { input_name: 'I' output_name: 'O' data_type: TYPE_FP32 dims: -1\n"
           "initial_state { name: 'n' data_type: TYPE_FP32 data_file: 'start' dims: " +
           dims + " } } }";
  };
  const auto policy = policy_of(config("2"), folder.path());
  ASSERT_TRUE(policy.sequence_batching);
  EXPECT_EQ(initial_state(policy.sequence_batching->states.at(0), true).shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(refusal(config("3"), folder.path()),
            "initial_state of state 'I' has 8 bytes of data, expected 12 for shape [3]");
}

TEST(SchedulingPolicyOf, InstancesAndTensorRules) {
  const auto policy = policy_of(
      "max_batch_size: 2 instance_group { count: 2 kind: KIND_CPU } instance_group { kind: KIND_GPU gpus: "
      "[1, 3] }\n"
      "input { name: 'A' data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }\n"
      "output { name: 'Y' data_type: TYPE_FP32 dims: 4 reshape { shape: [2, 2] } }\n"
      "batch_input { kind: BATCH_ITEM_SHAPE target_name: 'T' data_type: TYPE_INT32 source_input: 'A' }\n"
      "batch_output { target_name: 'Y' source_input: 'A' }");
  ASSERT_EQ(policy.instance_groups.size(), 2u);
  EXPECT_EQ(policy.instance_groups[0].count, 2);
  EXPECT_EQ(policy.instance_groups[0].name, "m_0");
  EXPECT_EQ(policy.instance_groups[1].kind, Placement::Kind::kGpu);
  EXPECT_EQ(policy.instance_groups[1].gpus, (std::vector<int>{1, 3}));
  EXPECT_TRUE(policy.ragged_inputs.contains("A"));
  ASSERT_EQ(policy.batch_inputs.size(), 1u);
  EXPECT_EQ(policy.batch_inputs[0].kind, BatchInputRule::Kind::kItemShape);
  EXPECT_EQ(policy.batch_inputs[0].target, "T");
  EXPECT_EQ(policy.batch_outputs.at(0).source, "A");
  EXPECT_EQ(policy.client_dims.at("Y"), (std::vector<int64_t>{4}));
  const auto by_model = policy_of("max_batch_size: 2 instance_group { kind: KIND_MODEL }");
  EXPECT_EQ(by_model.instance_groups.at(0).kind, Placement::Kind::kModel);
}

TEST(SchedulingPolicyOf, WarmupDataOfEveryKind) {
  const ModelFolder folder;
  folder.write("warmup/data", "1234");
  const auto warmup = [](const std::string& data) {
    return "model_warmup { name: 'w' batch_size: 3 count: 2 inputs { key: 'A' value { data_type: TYPE_FP32 "
           "dims: 1 " +
           data + " } } }";
  };
  const auto data = [&](const std::string& kind) {
    const auto policy = policy_of(warmup(kind), folder.path());
    const Buffer& buffer = policy.warmup.at(0).inputs.at(0).data;
    return std::string(reinterpret_cast<const char*>(buffer.data), buffer.size);
  };
  EXPECT_EQ(data("zero_data: true"), std::string(4, '\0'));
  EXPECT_EQ(data("input_data_file: 'data'"), "1234");
  EXPECT_NE(data("random_data: true"), std::string(4, '\0'));
  const auto policy = policy_of(warmup("zero_data: true"));
  EXPECT_EQ(policy.warmup[0].batch_size, 3u);
  EXPECT_EQ(policy.warmup[0].count, 2u);
  const auto strings = policy_of(
      "model_warmup { inputs { key: 'A' value { data_type: TYPE_STRING dims: 2 zero_data: true } } }");
  EXPECT_EQ(bytes_elements(strings.warmup[0].inputs[0])->size(), 2u);

  EXPECT_EQ(refusal(warmup(""), folder.path()),
            "warm-up 'w' of model 'm', input 'A' must have input data type set");
  EXPECT_EQ(refusal(warmup("input_data_file: '../data'"), folder.path()),
            "warm-up 'w' of model 'm', input 'A' expected a file inside " + folder.path() + "/warmup" +
                ", got '../data'");
  folder.write("warmup/data", "12345");
  EXPECT_EQ(refusal(warmup("input_data_file: 'data'"), folder.path()),
            "warm-up 'w' of model 'm', input 'A': the file's 5 bytes do not make FP32[1]");
  EXPECT_EQ(
      refusal("model_warmup { name: 'w' inputs { key: 'A' value { data_type: TYPE_INT8 dims: 1099511627776 "
              "zero_data: true } } }",
              folder.path()),
      "warm-up 'w' of model 'm', input 'A' has 1099511627776 elements, expected at most 268435456");
  EXPECT_NE(refusal(warmup("input_data_file: 'none'"), folder.path()).find("No such file"),
            std::string::npos);
}

}  // namespace
}  // namespace zeta::serving
