#include "src/serving/model_config/policy.h"

#include <algorithm>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/model_config/model_files.h"
#include "src/serving/model_config/tensor_types.h"
#include "src/serving/model_config/warmup.h"
#include "src/serving/scheduling/sequence_tensors.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;
using std::chrono::microseconds;

// The clock counts nanoseconds: what it cannot add to the time is longer than anyone waits, 31 years.
microseconds to_duration(uint64_t count) {
  constexpr uint64_t kLongest = 1'000'000'000'000'000;
  return microseconds(std::min(count, kLongest));
}

QueuePolicy to_policy(const inference::ModelQueuePolicy& proto) {
  QueuePolicy policy;
  const bool delay = proto.timeout_action() == inference::ModelQueuePolicy::DELAY;
  policy.timeout_action = delay ? QueuePolicy::TimeoutAction::kDelay : QueuePolicy::TimeoutAction::kReject;
  policy.default_timeout = to_duration(proto.default_timeout_microseconds());
  policy.allow_timeout_override = proto.allow_timeout_override();
  policy.max_queue_size = proto.max_queue_size();
  return policy;
}

DynamicBatching to_batching(const inference::ModelDynamicBatching& proto) {
  DynamicBatching batching;
  batching.preferred_batch_size.assign(proto.preferred_batch_size().begin(),
                                       proto.preferred_batch_size().end());
  batching.max_queue_delay = to_duration(proto.max_queue_delay_microseconds());
  batching.preserve_ordering = proto.preserve_ordering();
  batching.priority_levels = proto.priority_levels();
  batching.default_priority_level = proto.default_priority_level();
  batching.default_queue_policy = to_policy(proto.default_queue_policy());
  for (const auto& [level, policy] : proto.priority_queue_policy()) {
    batching.priority_queue_policy[level] = to_policy(policy);
  }
  return batching;
}

Placement::Kind to_kind(inference::ModelInstanceGroup::Kind kind) {
  if (kind == inference::ModelInstanceGroup::KIND_GPU) return Placement::Kind::kGpu;
  if (kind == inference::ModelInstanceGroup::KIND_MODEL) return Placement::Kind::kModel;
  return Placement::Kind::kCpu;
}

InstanceGroup to_group(const inference::ModelInstanceGroup& proto) {
  InstanceGroup group;
  group.name = proto.name();
  group.count = proto.count();
  group.gpus.assign(proto.gpus().begin(), proto.gpus().end());
  group.kind = to_kind(proto.kind());
  for (const auto& need : proto.rate_limiter().resources()) {
    group.rate_limit.resources.push_back({need.name(), need.count(), need.global()});
  }
  group.rate_limit.priority = proto.rate_limiter().priority();
  return group;
}

SequenceControl::Kind to_kind(inference::ModelSequenceBatching::Control::Kind kind) {
  switch (kind) {
    case inference::ModelSequenceBatching::Control::CONTROL_SEQUENCE_END:
      return SequenceControl::Kind::kEnd;
    case inference::ModelSequenceBatching::Control::CONTROL_SEQUENCE_READY:
      return SequenceControl::Kind::kReady;
    case inference::ModelSequenceBatching::Control::CONTROL_SEQUENCE_CORRID:
      return SequenceControl::Kind::kCorrelationId;
    default:
      return SequenceControl::Kind::kStart;
  }
}

SequenceControl to_control(const std::string& name, const inference::ModelSequenceBatching::Control& proto) {
  SequenceControl control;
  control.kind = to_kind(proto.kind());
  control.name = name;
  const auto set = [&](DataType type, const auto& values) {
    if (values.size() != 2) return;
    control.datatype = type;
    control.off = static_cast<double>(values[0]);
    control.on = static_cast<double>(values[1]);
  };
  set(DataType::kInt32, proto.int32_false_true());
  set(DataType::kFp32, proto.fp32_false_true());
  set(DataType::kBool, proto.bool_false_true());
  if (control.kind == SequenceControl::Kind::kCorrelationId)
    control.datatype = to_data_type(proto.data_type());
  return control;
}

// That the file holds what the shape says.
absl::Status check_initial_size(const SequenceState& state) {
  const Tensor tensor{state.input_name, state.datatype, initial_shape(state, false),
                      make_buffer(state.initial)};
  if (state.datatype == DataType::kBytes) return bytes_elements(tensor).status();
  const auto count = element_count(tensor.shape);
  if (!count.ok()) return count.status();
  const size_t expected = static_cast<size_t>(*count) * element_size(state.datatype);
  if (state.initial.size() == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(concat("initial_state of state '", state.input_name, "' has ",
                                           state.initial.size(), " bytes of data, expected ", expected,
                                           " for shape ", shape_text(tensor.shape)));
}

absl::StatusOr<SequenceState> to_state(const inference::ModelSequenceBatching::State& proto,
                                       const std::string& folder) {
  SequenceState state;
  state.input_name = proto.input_name();
  state.output_name = proto.output_name();
  state.datatype = to_data_type(proto.data_type());
  state.dims.assign(proto.dims().begin(), proto.dims().end());
  if (proto.initial_state_size() == 0) return state;
  state.initial_dims.assign(proto.initial_state(0).dims().begin(), proto.initial_state(0).dims().end());
  if (proto.initial_state(0).zero_data()) return state;
  if (proto.initial_state(0).data_file().empty()) return state;
  auto bytes = read_model_file(folder + "/initial_state", proto.initial_state(0).data_file());
  if (!bytes.ok()) return bytes.status();
  state.initial = *std::move(bytes);
  if (absl::Status status = check_initial_size(state); !status.ok()) return status;
  return state;
}

absl::StatusOr<SequenceBatching> to_batching(const inference::ModelSequenceBatching& proto,
                                             const std::string& folder) {
  SequenceBatching batching;
  batching.max_sequence_idle = to_duration(proto.max_sequence_idle_microseconds());
  batching.iterative = proto.iterative_sequence();
  if (proto.has_oldest()) {
    const auto& oldest = proto.oldest();
    batching.strategy = SequenceBatching::Strategy::kOldest;
    batching.max_candidate_sequences = oldest.max_candidate_sequences();
    batching.preferred_batch_size.assign(oldest.preferred_batch_size().begin(),
                                         oldest.preferred_batch_size().end());
    batching.max_queue_delay = to_duration(oldest.max_queue_delay_microseconds());
    batching.preserve_ordering = oldest.preserve_ordering();
  } else {
    batching.max_queue_delay = to_duration(proto.direct().max_queue_delay_microseconds());
    batching.minimum_slot_utilization = proto.direct().minimum_slot_utilization();
  }
  for (const auto& input : proto.control_input()) {
    for (const auto& control : input.control())
      batching.controls.push_back(to_control(input.name(), control));
  }
  for (const auto& state : proto.state()) {
    auto converted = to_state(state, folder);
    if (!converted.ok()) return converted.status();
    batching.states.push_back(*std::move(converted));
  }
  return batching;
}

// The kinds of the proto and the rule's stand in the same order.
BatchInputRule to_rule(const inference::BatchInput& proto, const std::string& target) {
  BatchInputRule rule;
  rule.kind = static_cast<BatchInputRule::Kind>(proto.kind());
  rule.target = target;
  rule.datatype = to_data_type(proto.data_type());
  rule.source = proto.source_input(0);
  return rule;
}

template <class Tensors>
void add_client_dims(const Tensors& tensors, SchedulingPolicy& policy) {
  for (const auto& tensor : tensors) {
    if (tensor.has_reshape())
      policy.client_dims[tensor.name()] = {tensor.dims().begin(), tensor.dims().end()};
  }
}

void add_tensor_rules(const ModelConfig& config, SchedulingPolicy& policy) {
  for (const auto& input : config.input()) {
    if (!input.allow_ragged_batch()) continue;
    policy.ragged_inputs.insert(input.name());
    policy.client_dims[input.name()] = {input.dims().begin(), input.dims().end()};
  }
  for (const auto& input : config.batch_input()) {
    for (const std::string& target : input.target_name())
      policy.batch_inputs.push_back(to_rule(input, target));
  }
  for (const auto& output : config.batch_output()) {
    for (const std::string& target : output.target_name()) {
      policy.batch_outputs.push_back({target, output.source_input(0)});
    }
  }
  add_client_dims(config.input(), policy);
  add_client_dims(config.output(), policy);
}

}  // namespace

absl::StatusOr<SchedulingPolicy> scheduling_policy(const ModelConfig& config, const std::string& folder) {
  SchedulingPolicy policy;
  policy.max_batch_size = config.max_batch_size();
  policy.decoupled = config.model_transaction_policy().decoupled();
  if (config.has_dynamic_batching()) policy.dynamic_batching = to_batching(config.dynamic_batching());
  if (config.has_sequence_batching()) {
    auto batching = to_batching(config.sequence_batching(), folder);
    if (!batching.ok()) return batching.status();
    policy.sequence_batching = *std::move(batching);
  }
  for (const auto& group : config.instance_group()) policy.instance_groups.push_back(to_group(group));
  add_tensor_rules(config, policy);
  for (const auto& proto : config.model_warmup()) {
    auto warmup = to_warmup(config, proto, folder);
    if (!warmup.ok()) return warmup.status();
    policy.warmup.push_back(*std::move(warmup));
  }
  return policy;
}

}  // namespace zeta::serving
