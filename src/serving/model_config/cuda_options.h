// optimization.cuda of a model's configuration, in plain types.
#pragma once

#include "model_config.pb.h"
#include "src/serving/backend.h"

namespace zeta::serving {

CudaOptions cuda_options(const inference::ModelConfig& config);

}  // namespace zeta::serving
