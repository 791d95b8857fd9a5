#include "src/serving/ensemble/plan.h"

#include <algorithm>
#include <utility>

namespace zeta::serving {

EnsemblePlan ensemble_plan(const inference::ModelConfig& config) {
  EnsemblePlan plan;
  plan.name = config.name();
  plan.max_inflight_requests = config.ensemble_scheduling().max_inflight_requests();
  for (const auto& proto : config.ensemble_scheduling().step()) {
    EnsembleStep step;
    step.model = proto.model_name();
    step.version = proto.model_version();
    step.inputs = {proto.input_map().begin(), proto.input_map().end()};
    step.outputs = {proto.output_map().begin(), proto.output_map().end()};
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

std::vector<std::string> ensemble_members(const inference::ModelConfig& config) {
  std::vector<std::string> names;
  for (const auto& step : config.ensemble_scheduling().step()) {
    if (std::ranges::find(names, step.model_name()) == names.end()) names.push_back(step.model_name());
  }
  return names;
}

}  // namespace zeta::serving
