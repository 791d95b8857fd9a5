// A model's configuration as Triton's clients expect it.
#pragma once

#include <string>

#include "model_config.pb.h"

namespace zeta::serving {

// Fields in the order of model_config.proto and under its names. Scalars, lists and maps are always there,
// messages and members of a oneof where they are set. 64-bit integers are numbers, unlike in protobuf's JSON.
std::string model_config_json(const inference::ModelConfig& config);

}  // namespace zeta::serving
