// What zeta.export writes beside a model: the types and shapes that the file itself does not tell.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

struct Sidecar {
  std::vector<serving::TensorMetadata> inputs, outputs;  // with the batch dimension, if there is one
};

// Reads FOLDER/tensors.json: {"inputs": [{"name", "datatype", "shape"}], "outputs": […]}. Nothing when there
// is no such file; InvalidArgument names the file and what is wrong in it.
absl::StatusOr<std::optional<Sidecar>> read_sidecar(const std::string& folder);

// Takes from the sidecar what the configuration leaves open. InvalidArgument names the tensor and both values
// when they contradict each other, and what is missing when neither says it.
absl::Status complete(const std::optional<Sidecar>& sidecar, serving::ModelSource& source);

}  // namespace zeta::torch_backend
