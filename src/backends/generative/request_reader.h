// From an inference request to what the engine is asked (docs/design/foundation.md, "Generative models").
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "src/engine/request.h"
#include "src/serving/backend.h"

namespace zeta::generative {

// `defaults` holds for what the request does not say. InvalidArgument names the input or parameter at fault.
absl::StatusOr<engine::Request> read_request(std::shared_ptr<const serving::InferRequest> request,
                                             const engine::SamplingParams& defaults);

}  // namespace zeta::generative
