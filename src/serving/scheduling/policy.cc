#include "src/serving/scheduling/policy.h"

#include <algorithm>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

absl::Status check_preferred(const std::string& model, std::string_view where,
                             const std::vector<int64_t>& sizes, int64_t max_batch_size) {
  for (const int64_t size : sizes) {
    if (size <= 0) return invalid(where, " preferred size must be positive for ", model, ", got ", size);
    if (size > max_batch_size) {
      return invalid(where, " preferred size must be <= max batch size for ", model, ", got ", size,
                     " of at most ", max_batch_size);
    }
  }
  return absl::OkStatus();
}

absl::Status check_dynamic(const std::string& model, const DynamicBatching& batching,
                           int64_t max_batch_size) {
  absl::Status status =
      check_preferred(model, "dynamic batching", batching.preferred_batch_size, max_batch_size);
  if (!status.ok()) return status;
  if (batching.max_queue_delay.count() < 0) {
    return invalid("dynamic batching max_queue_delay_microseconds must be non-negative for ", model);
  }
  const uint64_t levels = batching.priority_levels;
  if (levels == 0) {
    if (batching.default_priority_level == 0 && batching.priority_queue_policy.empty()) return status;
    return invalid("default_priority_level and priority_queue_policy need priority_levels for ", model);
  }
  if (batching.default_priority_level == 0 || batching.default_priority_level > levels) {
    return invalid("default priority level must be in range [1, ", levels, "] for ", model, ", got ",
                   batching.default_priority_level);
  }
  if (levels > 1 && batching.preserve_ordering) {
    return invalid("Only one priority level is allowed when 'preserve_ordering' is true for ", model);
  }
  for (const auto& [level, policy] : batching.priority_queue_policy) {
    if (level == 0 || level > levels) {
      return invalid("priority queue policy must have priority level in range [1, ", levels, "] for ", model,
                     ", got ", level);
    }
  }
  return status;
}

absl::Status check_sequence(const std::string& model, const SequenceBatching& batching,
                            int64_t max_batch_size) {
  if (batching.strategy == SequenceBatching::Strategy::kOldest && batching.max_candidate_sequences < 0) {
    return invalid("sequence batching max_candidate_sequences must be positive for ", model);
  }
  if (batching.minimum_slot_utilization < 0 || batching.minimum_slot_utilization > 1) {
    return invalid("sequence batching minimum_slot_utilization must be in range [0.0, 1.0] for ", model);
  }
  for (auto control = batching.controls.begin(); control != batching.controls.end(); ++control) {
    if (std::any_of(batching.controls.begin(), control,
                    [&](const SequenceControl& other) { return other.kind == control->kind; })) {
      return invalid("sequence batching specifies multiple inputs of one control kind, such as ",
                     control->name, " for ", model);
    }
  }
  return check_preferred(model, "sequence batching", batching.preferred_batch_size,
                         std::max<int64_t>(max_batch_size, 1));
}

}  // namespace

absl::Status check_policy(const std::string& model, const SchedulingPolicy& policy) {
  if (policy.max_batch_size < 0) {
    return invalid("'max_batch_size' must be non-negative value for ", model, ", got ",
                   policy.max_batch_size);
  }
  if (policy.dynamic_batching && policy.sequence_batching) {
    return invalid("dynamic_batching and sequence_batching exclude each other for ", model);
  }
  for (const InstanceGroup& group : policy.instance_groups) {
    if (group.count < 1) {
      return invalid("instance group ", group.name, " of model ", model, " expects a count >= 1, got ",
                     group.count);
    }
    const bool has_gpus = !group.gpus.empty();
    if (group.kind == Placement::Kind::kCpu && has_gpus) {
      return invalid("instance group ", group.name, " of model ", model,
                     " has kind KIND_CPU but specifies one or more GPUs");
    }
  }
  if (policy.max_batch_size == 0) {
    const bool needs_batches = policy.dynamic_batching.has_value() || !policy.ragged_inputs.empty();
    if (needs_batches) return invalid("dynamic batching is not supported when max_batch_size is 0: ", model);
  }
  for (const BatchInputRule& rule : policy.batch_inputs) {
    if (rule.datatype != DataType::kFp32 && rule.datatype != DataType::kInt32) {
      return invalid("batch input '", rule.target, "' of model ", model,
                     " must have data type TYPE_FP32 or TYPE_INT32");
    }
  }
  if (policy.dynamic_batching) {
    if (auto status = check_dynamic(model, *policy.dynamic_batching, policy.max_batch_size); !status.ok()) {
      return status;
    }
  }
  if (!policy.sequence_batching) return absl::OkStatus();
  return check_sequence(model, *policy.sequence_batching, policy.max_batch_size);
}

}  // namespace zeta::serving
