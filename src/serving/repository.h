// Which models there are on disk.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// A model that was found, not loaded yet.
struct ModelDescription {
  ModelSource source;
  std::string backend;
  absl::Status status;  // why it cannot be loaded, if that is plain from its files
};

// Describes one model in `folder`, which is either a model of a Triton repository (config.pbtxt, and version
// folders 1/, 2/ … of which the highest is taken) or itself a Hugging Face folder (config.json), served by
// the backend "zeta" as version 1. `name` "" means the folder's own.
ModelDescription describe_model(std::string name, const std::string& folder);

// Describes every model of the repository `folder`, in the order of their names. Hidden entries and files are
// passed over. NotFound or PermissionDenied when the folder cannot be read.
absl::StatusOr<std::vector<ModelDescription>> scan_repository(const std::string& folder);

}  // namespace zeta::serving
