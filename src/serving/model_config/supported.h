// What of a configuration the server knows, but does not do: refused by name rather than ignored.
#pragma once

#include "absl/status/status.h"
#include "model_config.pb.h"

namespace zeta::serving {

// Unimplemented names the first field of a normalised configuration that no backend of this server honours.
absl::Status check_supported(const inference::ModelConfig& config);

// Unimplemented names the first field that asks for the server's scheduler (src/serving/scheduling): for a
// model whose backend schedules requests itself.
absl::Status check_self_scheduled(const inference::ModelConfig& config);

}  // namespace zeta::serving
