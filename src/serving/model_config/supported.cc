#include "src/serving/model_config/supported.h"

#include <algorithm>
#include <string_view>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;

absl::Status refuse(const ModelConfig& config, std::string_view field, std::string_view why) {
  return absl::UnimplementedError(concat("model '", config.name(), "': ", field, " is not supported", why));
}

struct Field {
  bool is_set;
  std::string_view name;
};

template <size_t N>
absl::Status refuse_first(const ModelConfig& config, const Field (&fields)[N], std::string_view why) {
  const auto* found = std::ranges::find(fields, true, &Field::is_set);
  return found == std::end(fields) ? absl::OkStatus() : refuse(config, found->name, why);
}

template <class List, class Has>
bool any(const List& list, Has has) {
  return std::ranges::any_of(list, has);
}

}  // namespace

absl::Status check_supported(const ModelConfig& config) {
  using Group = inference::ModelInstanceGroup;
  const auto& optimization = config.optimization();
  const auto& groups = config.instance_group();
  const Field fields[] = {
      {!config.runtime().empty(), "runtime"},
      {config.has_ensemble_scheduling() &&
           (any(config.input(), [](const auto& input) { return input.has_reshape(); }) ||
            any(config.output(), [](const auto& output) { return output.has_reshape(); })),
       "reshape of an ensemble's tensors"},
      {any(config.input(),
           [](const auto& input) { return input.format() != inference::ModelInput::FORMAT_NONE; }),
       "input.format"},
      {any(groups, [](const Group& group) { return group.secondary_devices_size() > 0; }),
       "instance_group.secondary_devices"},
      {any(groups, [](const Group& group) { return group.passive(); }), "instance_group.passive"},
      {any(groups, [](const Group& group) { return !group.host_policy().empty(); }),
       "instance_group.host_policy"},
      {any(config.sequence_batching().state(),
           [](const auto& state) {
             return state.use_growable_memory() || state.use_same_buffer_for_input_output();
           }),
       "sequence_batching.state.use_growable_memory or use_same_buffer_for_input_output"},
      {optimization.has_graph(), "optimization.graph"},
      {optimization.priority() != inference::ModelOptimizationPolicy::PRIORITY_DEFAULT,
       "optimization.priority"},
      {optimization.has_execution_accelerators(), "optimization.execution_accelerators"},
      {optimization.gather_kernel_buffer_threshold() != 0, "optimization.gather_kernel_buffer_threshold"},
      {optimization.eager_batching(), "optimization.eager_batching"},
      {!config.cc_model_filenames().empty(), "cc_model_filenames"},
      {config.has_model_operations(), "model_operations"},
      {config.has_model_repository_agents(), "model_repository_agents"},
      {config.has_model_metrics(), "model_metrics"},
  };
  return refuse_first(config, fields, "");
}

absl::Status check_self_scheduled(const ModelConfig& config) {
  using Group = inference::ModelInstanceGroup;
  const auto reshapes = [](const auto& tensor) { return tensor.has_reshape(); };
  const auto& groups = config.instance_group();
  const Field fields[] = {
      {config.has_dynamic_batching(), "dynamic_batching"},
      {config.has_sequence_batching(), "sequence_batching"},
      {!config.batch_input().empty(), "batch_input"},
      {!config.batch_output().empty(), "batch_output"},
      {!config.model_warmup().empty(), "model_warmup"},
      {any(config.input(), [](const auto& input) { return input.allow_ragged_batch(); }),
       "allow_ragged_batch"},
      {any(config.input(), reshapes) || any(config.output(), reshapes), "reshape"},
      {groups.size() > 1 || any(groups, [](const Group& group) { return group.count() > 1; }),
       "more than one instance in instance_group"},
      {any(groups, [](const Group& group) { return group.kind() == Group::KIND_GPU; }),
       "instance_group of KIND_GPU"},
      {any(groups, [](const Group& group) { return group.has_rate_limiter(); }),
       "instance_group.rate_limiter"},
      {config.optimization().cuda().graphs(), "optimization.cuda.graphs"},
      {config.optimization().cuda().busy_wait_events(), "optimization.cuda.busy_wait_events"},
      {config.optimization().cuda().output_copy_stream(), "optimization.cuda.output_copy_stream"},
  };
  return refuse_first(config, fields,
                      concat(" by the backend '", config.backend(), "', which schedules requests itself"));
}

}  // namespace zeta::serving
