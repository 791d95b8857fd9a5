#include <set>
#include <string>
#include <string_view>

#include "src/base/concat.h"
#include "src/serving/model_config/check.h"
#include "src/serving/model_config/check_ensemble.h"
#include "src/serving/model_config/check_sequence.h"
#include "src/serving/model_config/model_files.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

absl::Status check_priorities(const ModelConfig& config) {
  const auto& batching = config.dynamic_batching();
  const uint64_t levels = batching.priority_levels();
  const std::string range = concat(" in range [1, ", levels, "] for ", config.name());
  if (levels == 0) {
    if (batching.default_priority_level() == 0 && batching.priority_queue_policy().empty()) {
      return absl::OkStatus();
    }
    return invalid("default_priority_level and priority_queue_policy need priority_levels for ",
                   config.name());
  }
  if (batching.default_priority_level() == 0 || batching.default_priority_level() > levels) {
    return invalid("default priority level must be", range);
  }
  if (levels > 1 && batching.preserve_ordering()) {
    return invalid("Only one priority level is allowed when 'preserve_ordering' is true for ", config.name());
  }
  for (const auto& [level, policy] : batching.priority_queue_policy()) {
    if (level == 0 || level > levels) return invalid("priority queue policy must have priority level", range);
  }
  return absl::OkStatus();
}

absl::Status check_dynamic(const ModelConfig& config) {
  absl::Status status = check_preferred(config, "dynamic batching preferred size",
                                        config.dynamic_batching().preferred_batch_size());
  return status.ok() ? check_priorities(config) : status;
}

absl::Status check_instance_groups(const ModelConfig& config) {
  using Group = inference::ModelInstanceGroup;
  std::set<std::string> names;
  for (const Group& group : config.instance_group()) {
    const std::string which = concat("instance group ", group.name(), " of model ", config.name());
    if (!names.insert(group.name()).second) return invalid(which, ": two groups have this name");
    if (group.kind() != Group::KIND_GPU && group.kind() != Group::KIND_AUTO && group.gpus_size() > 0) {
      return invalid(which, " has kind ", Group::Kind_Name(group.kind()), " but specifies one or more GPUs");
    }
    constexpr int kMostInstances = 4096;
    if (group.count() > kMostInstances) {
      return invalid(which, ": expected a count of at most ", kMostInstances, ", got ", group.count());
    }
    if (group.profile_size() > 0) {
      return invalid(which, " and platform ", config.platform(),
                     " specifies profile field which is only supported for TensorRT models");
    }
  }
  return absl::OkStatus();
}

// A tag becomes a label of the model's metrics, whose names Prometheus limits.
absl::Status check_metric_tags(const ModelConfig& config) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  for (const auto& [name, value] : config.metric_tags()) {
    const bool fits = !name.empty() && kLetters.find(name.front()) != std::string_view::npos &&
                      name.find_first_not_of(concat(kLetters, "0123456789")) == std::string::npos;
    if (fits && name != "model" && name != "version") continue;
    return invalid("metric_tags of ", config.name(), ": '", name, "' cannot be the name of a label");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status check_response_cache(const ModelConfig& config) {
  if (!config.response_cache().enable() || !config.model_transaction_policy().decoupled()) {
    return absl::OkStatus();
  }
  return invalid("Response Cache does not currently support model ", config.name(),
                 " with 'decoupled' transaction policy. Please disable the response cache.");
}

absl::Status check_scheduling(const ModelConfig& config) {
  if (config.max_batch_size() < 0) {
    return invalid("'max_batch_size' must be non-negative value for ", config.name());
  }
  if (const std::string& file = config.default_model_filename(); !file.empty() && !stays_inside(file)) {
    return invalid("default_model_filename of ", config.name(),
                   ": expected a file inside its version folder, got '", file, "'");
  }
  absl::Status status = check_response_cache(config);
  if (status.ok()) status = check_metric_tags(config);
  if (status.ok()) status = check_instance_groups(config);
  const bool is_ensemble = config.platform() == "ensemble" || config.has_ensemble_scheduling();
  if (status.ok() && is_ensemble) status = check_ensemble(config);
  if (status.ok() && config.has_dynamic_batching()) status = check_dynamic(config);
  if (status.ok() && config.has_sequence_batching()) status = check_sequence(config);
  return status;
}

}  // namespace zeta::serving
