// Files that a model's folder holds for its configuration.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace zeta::serving {

// The bytes of `name`, a path below `folder` that does not leave it. InvalidArgument when it would, NotFound
// when it cannot be read.
absl::StatusOr<std::string> read_model_file(const std::string& folder, const std::string& name);

// Whether `name` is a relative path that stays below where it starts.
bool stays_inside(const std::string& name);

// A label file's lines; what follows the last line break counts when it is not empty.
absl::StatusOr<std::vector<std::string>> read_labels(const std::string& folder, const std::string& name);

}  // namespace zeta::serving
