#include "src/serving/model_config/check_ensemble.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;
using Step = inference::ModelEnsembling::Step;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

// That the parts which exclude each other do not meet.
absl::Status check_fields(const ModelConfig& config) {
  const bool ensemble = config.platform() == "ensemble";
  if (!ensemble) {
    return invalid("ensemble scheduling cannot be set for model '", config.name(),
                   "' whose platform is not ensemble");
  }
  if (!config.has_ensemble_scheduling()) {
    return invalid("ensemble scheduling must be set for ensemble ", config.name(),
                   " whose platform is ensemble");
  }
  const char* excluded = config.instance_group_size() > 0 ? "instance group"
                         : config.has_optimization()      ? "optimization"
                                                          : nullptr;
  if (excluded) return invalid(excluded, " should not be specified for ensemble '", config.name(), "'");
  if (config.model_warmup_size() > 0) {
    return invalid("model_warmup can not be specified for ensemble '", config.name(), "'");
  }
  if (config.input().empty() || config.output().empty()) {
    return invalid("must specify '", config.input().empty() ? "input" : "output", "' for ensemble '",
                   config.name(), "'");
  }
  if (!config.ensemble_scheduling().step().empty()) return absl::OkStatus();
  return invalid("must specify 'step' for ensemble '", config.name(), "'");
}

absl::Status check_step(const ModelConfig& config, const Step& step, int number) {
  const char* missing = step.model_name().empty()   ? "model_name"
                        : step.input_map().empty()  ? "input_map"
                        : step.output_map().empty() ? "output_map"
                                                    : nullptr;
  if (missing)
    return invalid("must specify '", missing, "' in step ", number, " of ensemble '", config.name(), "'");
  if (!step.model_namespace().empty()) {
    return absl::UnimplementedError(
        concat("model '", config.name(), "': ensemble_scheduling.step.model_namespace is not supported"));
  }
  if (step.model_version() >= -1) return absl::OkStatus();
  return invalid("'model_version' in step ", number, " of ensemble '", config.name(),
                 "' must be a version or -1, got ", step.model_version());
}

// A tensor is there once all inputs of its step are.
std::set<std::string> reachable(const ModelConfig& config) {
  std::set<std::string> there;
  for (const auto& input : config.input()) there.insert(input.name());
  for (bool grown = true; grown;) {
    grown = false;
    for (const Step& step : config.ensemble_scheduling().step()) {
      const bool runs = std::ranges::all_of(step.input_map(),
                                            [&](const auto& pair) { return there.contains(pair.second); });
      if (!runs) continue;
      for (const auto& [name, tensor] : step.output_map()) grown |= there.insert(tensor).second;
    }
  }
  return there;
}

absl::Status check_flow(const ModelConfig& config) {
  std::set<std::string> made, read;
  int number = 0;
  for (const Step& step : config.ensemble_scheduling().step()) {
    for (const auto& [name, tensor] : step.output_map()) {
      if (made.insert(tensor).second) continue;
      return invalid("ensemble tensor '", tensor, "' can appear in an output map only once for ensemble '",
                     config.name(), "' step ", number);
    }
    for (const auto& [name, tensor] : step.input_map()) read.insert(tensor);
    ++number;
  }
  const auto unused = [&](const char* kind, const std::string& tensor) {
    return invalid("ensemble ", kind, " '", tensor, "' for ensemble ", config.name(), "' is not used");
  };
  for (const auto& input : config.input()) {
    if (!read.contains(input.name())) return unused("input", input.name());
  }
  std::set<std::string> outputs, all = made;
  for (const auto& output : config.output()) {
    if (!made.contains(output.name())) return unused("output", output.name());
    outputs.insert(output.name());
  }
  all.insert(read.begin(), read.end());
  const std::set<std::string> there = reachable(config);
  for (const std::string& tensor : all) {
    const bool leads_on = read.contains(tensor) || outputs.contains(tensor);
    if (there.contains(tensor) && leads_on) continue;
    return invalid("ensemble tensor '", tensor, "' is unused in ensemble '", config.name(), "'");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status check_ensemble(const ModelConfig& config) {
  if (absl::Status status = check_fields(config); !status.ok()) return status;
  int number = 0;
  for (const Step& step : config.ensemble_scheduling().step()) {
    if (absl::Status status = check_step(config, step, number++); !status.ok()) return status;
  }
  return check_flow(config);
}

}  // namespace zeta::serving
