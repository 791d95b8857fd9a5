// The requests that a configuration runs before the first of a client.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model_config.pb.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

// `proto` with the data of its inputs: zeros, random numbers that are the same each time, or the bytes of a
// file in `folder`/warmup. InvalidArgument and NotFound name warm-up, model and input.
absl::StatusOr<Warmup> to_warmup(const inference::ModelConfig& config, const inference::ModelWarmup& proto,
                                 const std::string& folder);

}  // namespace zeta::serving
