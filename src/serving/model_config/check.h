// Whether a configuration makes sense, before any file of the model is opened. The texts are Triton's.
#pragma once

#include "absl/status/status.h"
#include "model_config.pb.h"

namespace zeta::serving {

// Both of a normalised configuration (complete.h). InvalidArgument names the field, the model and what is
// wrong.
//
// All but the tensors.
absl::Status check_scheduling(const inference::ModelConfig& config);
// That no decoupled model asks for the response cache; part of the former, but a model may turn out so when
// it is loaded.
absl::Status check_response_cache(const inference::ModelConfig& config);
// Inputs and outputs, once what the file left out is filled in, and what refers to them.
absl::Status check_tensors(const inference::ModelConfig& config);

}  // namespace zeta::serving
