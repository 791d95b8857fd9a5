// What an ensemble runs, and which tensor goes where.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model_config.pb.h"

namespace zeta::serving {

// A member model. Both maps go from the member's name of a tensor to the ensemble's.
struct EnsembleStep {
  std::string model;
  int64_t version = -1;  // -1: the newest that is READY
  std::map<std::string, std::string> inputs, outputs;
};

struct EnsemblePlan {
  std::string name;
  std::vector<EnsembleStep> steps;
  // Most requests that a step has at its member at once, over all requests to the ensemble; 0: no limit.
  size_t max_inflight_requests = 0;
};

// REQUIRES: config.has_ensemble_scheduling().
EnsemblePlan ensemble_plan(const inference::ModelConfig& config);

// The names of its members, each once; none when it is no ensemble.
std::vector<std::string> ensemble_members(const inference::ModelConfig& config);

}  // namespace zeta::serving
