// The scheduling part of a configuration in the scheduler's own types.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model_config.pb.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

// Of a checked and normalised configuration. Reads the files that warm-up requests and initial states name,
// from `folder`/warmup and `folder`/initial_state. InvalidArgument and NotFound name file and tensor.
absl::StatusOr<SchedulingPolicy> scheduling_policy(const inference::ModelConfig& config,
                                                   const std::string& folder);

}  // namespace zeta::serving
