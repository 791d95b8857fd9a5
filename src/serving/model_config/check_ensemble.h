// The part of check_scheduling that is about ensembles.
#pragma once

#include "absl/status/status.h"
#include "model_config.pb.h"

namespace zeta::serving {

// That an ensemble has nothing that its members have to say for themselves, that its steps are complete, and
// that tensors flow from its inputs through all steps to its outputs: none made twice, unused or waiting for
// itself. The members are not looked at (src/serving/ensemble/check_members.h).
absl::Status check_ensemble(const inference::ModelConfig& config);

}  // namespace zeta::serving
