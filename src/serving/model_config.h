// A model's config.pbtxt, as far as it is read today.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace zeta::serving {

struct ModelConfig {
  std::string name;     // "": the folder's name
  std::string backend;  // never empty
};

// Understands single-line `name`, `backend` and `max_batch_size: 0` fields and comments. Any other field is
// InvalidArgument and named with its line, so that no setting is ever silently ignored.
absl::StatusOr<ModelConfig> parse_model_config(std::string_view text);

}  // namespace zeta::serving
