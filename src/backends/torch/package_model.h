// AOTInductor packages: platform torch_aoti.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "src/backends/torch/settings.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// Loads `path`. `source` is complete: it has inputs and outputs.
absl::StatusOr<std::unique_ptr<serving::Executable>> load_package(const std::string& path,
                                                                  const serving::ModelSource& source,
                                                                  const Settings& settings,
                                                                  serving::ModelMetadata metadata);

}  // namespace zeta::torch_backend
