// The texts are those that tritonserver 2.51 gives for the same files.
#include "src/serving/model_config/check.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "src/serving/model_config/supported.h"
#include "tests/unit/serving/model_config/config_text.h"

namespace zeta::serving {
namespace {

using Cases = std::vector<std::pair<std::string, std::string>>;

void expect_complaints(const Cases& cases, const std::string& tensors = kTensors) {
  for (const auto& [text, expected] : cases) {
    const std::string got = complaint(text + "\n" + tensors);
    EXPECT_TRUE(got.starts_with(expected) && (!expected.empty() || got.empty())) << text << "\ngave " << got;
  }
}

TEST(ModelConfigCheck, Batching) {
  const std::string batched = "max_batch_size: 4 ";
  expect_complaints({
      {"max_batch_size: -1", "'max_batch_size' must be non-negative value for m"},
      {"dynamic_batching { preferred_batch_size: [4] }",
       "dynamic batching preferred size must be <= max batch size for m"},
      {batched + "dynamic_batching { preferred_batch_size: [4] }", ""},
      {batched + "dynamic_batching { preferred_batch_size: [8] }",
       "dynamic batching preferred size must be <= max batch size for m"},
      {batched + "dynamic_batching { preferred_batch_size: [0] }",
       "dynamic batching preferred size must be positive for m"},
      {batched + "dynamic_batching { priority_levels: 2 }",
       "default priority level must be in range [1, 2] for m"},
      {batched + "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
       "default priority level must be in range [1, 2] for m"},
      {batched + "dynamic_batching { priority_levels: 2 default_priority_level: 2 }", ""},
      {batched + "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { "
                 "key: 3 value {} } }",
       "priority queue policy must have priority level in range [1, 2] for m"},
      {batched + "dynamic_batching { priority_levels: 2 default_priority_level: 1 preserve_ordering: true }",
       "Only one priority level is allowed when 'preserve_ordering' is true for m"},
      {batched + "dynamic_batching { priority_queue_policy { key: 1 value {} } }",
       "default_priority_level and priority_queue_policy need priority_levels for m"},
      {"default_model_filename: '../../x/1/model.pt'",
       "default_model_filename of m: expected a file inside its version folder, got '../../x/1/model.pt'"},
      {"default_model_filename: '/etc/passwd'", "default_model_filename of m: expected a file inside"},
      {"response_cache { enable: true } model_transaction_policy { decoupled: true }",
       "Response Cache does not currently support model m"},
      {"metric_tags { key: 'a-b' value: 'x' }", "metric_tags of m: 'a-b' cannot be the name of a label"},
      {"metric_tags { key: 'model' value: 'x' }", "metric_tags of m: 'model' cannot"},
  });
}

TEST(ModelConfigCheck, InstanceGroups) {
  expect_complaints({
      {"instance_group { kind: KIND_CPU gpus: [0] }",
       "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"},
      {"instance_group { kind: KIND_CPU profile: '1' }",
       "instance group m_0 of model m and platform  specifies profile field which is only supported for "
       "TensorRT models"},
      {"instance_group { name: 'a' } instance_group { name: 'a' }",
       "instance group a of model m: two groups have this name"},
      {"instance_group { count: 3 } instance_group { kind: KIND_MODEL }", ""},
      {"instance_group { count: 4097 }",
       "instance group m_0 of model m: expected a count of at most 4096, got 4097"},
  });
}

TEST(ModelConfigCheck, Sequences) {
  const auto control = [](const std::string& fields) {
    return "max_batch_size: 2 sequence_batching { control_input { name: 'A' control { " + fields + " } } }";
  };
  expect_complaints({
      {"max_batch_size: 2 sequence_batching { oldest { preferred_batch_size: [3] } }",
       "sequence batching preferred batch size must be <= max batch size for m"},
      {"sequence_batching { direct { minimum_slot_utilization: 2 } }",
       "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m"},
      {control("int32_false_true: [0]"),
       "sequence batching control 'int32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START "
       "for m"},
      {control("int32_false_true: [0,1] fp32_false_true: [0,1]"),
       "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
       "'bool_false_true' for CONTROL_SEQUENCE_START for m"},
      {control(""),
       "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
       "CONTROL_SEQUENCE_START for m"},
      {control("kind: CONTROL_SEQUENCE_CORRID int32_false_true: [0,1]"),
       "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
       "for CONTROL_SEQUENCE_CORRID for m"},
      {control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32"),
       "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are TYPE_UINT64, "
       "TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING"},
      {control("bool_false_true: [false, true] } control { bool_false_true: [false, true]"),
       "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m"},
      {"sequence_batching { control_input { control { int32_false_true: [0,1] } } }",
       "sequence batching control tensor must have a name for m"},
      {"sequence_batching { state { input_name: 'S' data_type: TYPE_FP32 dims: 2 initial_state { name: 'x' "
       "data_type: TYPE_INT32 zero_data: true } } }",
       "The data type used for 'initial_state' field of state 'S' does not match the state data type."},
      {"sequence_batching { state { input_name: 'S' data_type: TYPE_FP32 dims: 2 initial_state { data_type: "
       "TYPE_FP32 zero_data: true } } }",
       "Field 'name' must be set when using initial_state for state input 'S'."},
      {"sequence_batching { state { input_name: 'S' data_type: TYPE_FP32 dims: 1099511627776 } }",
       "state 'S' must have at most 268435456 elements"},
      {"sequence_batching { state { input_name: 'S' data_type: TYPE_FP32 dims: [-1, 0] } }",
       "state 'S' must have dims >= 1, or -1 for any, got 0"},
      {"sequence_batching { state { input_name: 'S' data_type: TYPE_FP32 dims: [-1, 2] initial_state { "
       "name: 'x' data_type: TYPE_FP32 dims: [4, 3] zero_data: true } } }",
       "'initial_state' of state 'S' has dims that the state's dims do not allow"},
      {"sequence_batching { state { input_name: 'S' dims: 2 } }", "state 'S' must specify 'data_type'"},
  });
}

// Steps of a model "x", each from one tensor of the ensemble to another.
std::string steps(const std::vector<std::pair<std::string, std::string>>& flow) {
  std::string text = "ensemble_scheduling { ";
  for (const auto& [from, to] : flow) {
    text += "step { model_name: 'x' input_map { key: 'I' value: '" + from +
            "' } output_map { key: 'O' value: '" + to + "' } } ";
  }
  return text + "}";
}

TEST(ModelConfigCheck, Ensembles) {
  const std::string ensemble = "platform: 'ensemble' ";
  expect_complaints({
      {ensemble, "ensemble scheduling must be set for ensemble m whose platform is ensemble"},
      {ensemble + "ensemble_scheduling { }", "must specify 'step' for ensemble 'm'"},
      {ensemble + "ensemble_scheduling { step { } }", "must specify 'model_name' in step 0 of ensemble 'm'"},
      {ensemble + "ensemble_scheduling { step { model_name: 'x' output_map { key: 'a' value: 'b' } } }",
       "must specify 'input_map' in step 0 of ensemble 'm'"},
      {ensemble + "ensemble_scheduling { step { model_name: 'x' input_map { key: 'a' value: 'b' } } }",
       "must specify 'output_map' in step 0 of ensemble 'm'"},
      {ensemble + "instance_group { } ensemble_scheduling { step { model_name: 'x' } }",
       "instance group should not be specified for ensemble 'm'"},
      {ensemble + "optimization { } ensemble_scheduling { }",
       "optimization should not be specified for ensemble 'm'"},
      {ensemble + "model_warmup { } ensemble_scheduling { }",
       "model_warmup can not be specified for ensemble 'm'"},
      {ensemble + steps({{"INPUT0", "OUTPUT0"}}), ""},
      {ensemble + steps({{"INPUT0", "t"}, {"t", "OUTPUT0"}}), ""},
      {ensemble + steps({{"INPUT0", "OUTPUT0"}, {"INPUT0", "OUTPUT0"}}),
       "ensemble tensor 'OUTPUT0' can appear in an output map only once for ensemble 'm' step 1"},
      {ensemble + steps({{"other", "OUTPUT0"}}), "ensemble input 'INPUT0' for ensemble m' is not used"},
      {ensemble + steps({{"INPUT0", "other"}}), "ensemble output 'OUTPUT0' for ensemble m' is not used"},
      {ensemble + steps({{"INPUT0", "OUTPUT0"}, {"INPUT0", "t"}}),
       "ensemble tensor 't' is unused in ensemble 'm'"},
      {ensemble + steps({{"INPUT0", "OUTPUT0"}, {"u", "t"}, {"t", "u"}}),
       "ensemble tensor 't' is unused in ensemble 'm'"},
      {"backend: 'echo' ensemble_scheduling { }",
       "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble"},
  });
}

TEST(ModelConfigCheck, Tensors) {
  const auto input = [](const std::string& fields) { return "input { " + fields + " }"; };
  expect_complaints(
      {
          {input("data_type: TYPE_FP32 dims: 2"), "model input must specify 'name' for m"},
          {input("name: 'X' dims: 2"), "model input 'X' must specify 'data_type' for m"},
          {input("name: 'X' data_type: TYPE_FP32"), "model input 'X' must specify 'dims' for m"},
          {input("name: 'X' data_type: TYPE_FP32 dims: 0"),
           "model input 'X' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for "
           "m"},
          {input("name: 'X' data_type: TYPE_FP32 dims: -2"),
           "model input 'X' dimension must be integer >= 1"},
          {input("name: 'X' data_type: TYPE_FP32 dims: 2 reshape { shape: 3 }"),
           "model input 'X' has different size for dims and reshape for m"},
          {input("name: 'X' data_type: TYPE_FP32 dims: -1 reshape { shape: 3 }"),
           "model input 'X' has different size for dims and reshape for m"},
          {input("name: 'X' data_type: TYPE_FP32 dims: [-1, 2] reshape { shape: [3, -1] }"),
           "model input 'X' has different size"},
          {input("name: 'X' data_type: TYPE_FP32 dims: [4, -1] reshape { shape: [2, 2, -1] }"), ""},
          {input("name: 'X' data_type: TYPE_FP32 dims: 1 reshape { }"),
           "model input 'X' cannot have empty reshape for non-batching model as scalar tensors are not "
           "supported for m"},
          {"max_batch_size: 1 " + input("name: 'X' data_type: TYPE_FP32 dims: 1 reshape { }"), ""},
          {input("name: 'X' data_type: TYPE_FP32 dims: 1 reshape { shape: 0 }"),
           "model input 'X' reshape dimensions must be integer >= 1"},
          {input("name: 'X' data_type: TYPE_FP32 dims: 2 format: FORMAT_NHWC"),
           "model input NHWC/NCHW require 3 dims for m"},
          {input("name: 'X' data_type: TYPE_FP32 dims: 2 is_shape_tensor: true"),
           "shape tensors are only supported for TensorRT platform for m"},
          {input("name: 'X' data_type: TYPE_FP32 dims: 2 } input { name: 'X' data_type: TYPE_FP32 dims: 2"),
           "model input 'X' is specified twice for m"},
          {"output { name: 'Y' dims: 2 }", "model output 'Y' must specify 'data_type' for m"},
      },
      "");
  expect_complaints({
      {"batch_input { target_name: 'T' data_type: TYPE_FP32 }",
       "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0 for m"},
      {"batch_input { target_name: 'T' data_type: TYPE_FP32 source_input: 'NO' }",
       "unknown source input name 'NO' for m"},
      {"batch_input { target_name: 'T' data_type: TYPE_INT64 source_input: 'INPUT0' }",
       "batch input data type must be TYPE_INT32 or TYPE_FP32 for m"},
      {"batch_input { target_name: 'T' data_type: TYPE_INT32 source_input: 'INPUT0' }", ""},
      {"batch_output { target_name: 'NO' source_input: 'INPUT0' }", "unknown target output name 'NO' for m"},
  });
}

TEST(ModelConfigCheck, RefusesByNameWhatTheServerDoesNotDo) {
  for (const auto& [text, field] : Cases{
           {"runtime: 'x.so'", "runtime"},
           {"model_operations { op_library_filename: 'x.so' }", "model_operations"},
           {"model_repository_agents { agents { name: 'checksum' } }", "model_repository_agents"},
           {"cc_model_filenames { key: '9.0' value: 'x' }", "cc_model_filenames"},
           {"instance_group { passive: true }", "instance_group.passive"},
           {"instance_group { host_policy: 'p' }", "instance_group.host_policy"},
           {"instance_group { secondary_devices { } }", "instance_group.secondary_devices"},
           {"optimization { graph { level: 1 } }", "optimization.graph"},
           {"optimization { priority: PRIORITY_MAX }", "optimization.priority"},
           {"optimization { execution_accelerators { } }", "optimization.execution_accelerators"},
           {"optimization { eager_batching: true }", "optimization.eager_batching"},
           {"optimization { gather_kernel_buffer_threshold: 1 }",
            "optimization.gather_kernel_buffer_threshold"},
           {"model_metrics { }", "model_metrics"},
       }) {
    const absl::Status status = check_supported(read_config(text));
    EXPECT_EQ(status.message(), "model 'm': " + field + " is not supported") << text;
    EXPECT_TRUE(absl::IsUnimplemented(status));
  }
  EXPECT_TRUE(check_supported(read_config(kTensors)).ok());
}

TEST(ModelConfigCheck, RefusesSchedulingOfABackendThatSchedulesItself) {
  for (const auto& [text, field] : Cases{
           {"dynamic_batching { }", "dynamic_batching"},
           {"sequence_batching { }", "sequence_batching"},
           {"instance_group { count: 2 }", "more than one instance in instance_group"},
           {"instance_group { kind: KIND_GPU gpus: 0 }", "instance_group of KIND_GPU"},
           {"model_warmup { name: 'w' }", "model_warmup"},
           {"optimization { cuda { graphs: true } }", "optimization.cuda.graphs"},
           {"optimization { cuda { busy_wait_events: true } }", "optimization.cuda.busy_wait_events"},
           {"optimization { cuda { output_copy_stream: true } }", "optimization.cuda.output_copy_stream"},
           {"input { name: 'X' dims: 1 reshape { } }", "reshape"},
           {"input { name: 'X' dims: 1 allow_ragged_batch: true }", "allow_ragged_batch"},
           {"batch_input { }", "batch_input"},
           {"batch_output { }", "batch_output"},
           {"instance_group { rate_limiter { priority: 1 } }", "instance_group.rate_limiter"},
       }) {
    const absl::Status status = check_self_scheduled(read_config("backend: 'echo' " + text));
    EXPECT_EQ(
        status.message(),
        "model 'm': " + field + " is not supported by the backend 'echo', which schedules requests itself")
        << text;
  }
  EXPECT_TRUE(
      check_self_scheduled(
          read_config(std::string("backend: 'echo' instance_group { count: 1 kind: KIND_CPU }\n") + kTensors))
          .ok());
}

}  // namespace
}  // namespace zeta::serving
