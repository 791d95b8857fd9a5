// A request's parameters, by the names of docs/design/foundation.md.
#pragma once

#include "absl/status/statusor.h"
#include "src/engine/sampling_params.h"
#include "src/serving/backend.h"

namespace zeta::generative {

// `defaults` holds for what is not given. InvalidArgument for an unknown name, a value of the wrong type, or
// one out of range.
absl::StatusOr<engine::SamplingParams> read_sampling_parameters(const serving::Parameters& parameters,
                                                                const engine::SamplingParams& defaults);

}  // namespace zeta::generative
