// Whether an ensemble fits its members.
#pragma once

#include "absl/status/statusor.h"
#include "model_config.pb.h"
#include "src/serving/ensemble/members.h"

namespace zeta::serving {

// Whether the ensemble is decoupled: one of its members is, and that reaches an output or another step.
// InvalidArgument, in Triton's words, when a member is not loaded, an input is not mapped, a mapped tensor is
// not there, types or shapes contradict each other, a member takes smaller batches, or a step gets the
// tensors of different decoupled members. REQUIRES: a configuration that check_scheduling accepts.
absl::StatusOr<bool> check_ensemble_members(const inference::ModelConfig& ensemble,
                                            const EnsembleMembers& members);

}  // namespace zeta::serving
