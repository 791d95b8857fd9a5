// The models and their states as a table for a person.
#pragma once

#include <string>
#include <vector>

#include "src/serving/registry.h"

namespace zeta::server {

// Columns Model, Version, Backend and Status; the reason follows UNAVAILABLE. Ends with a newline.
std::string model_table(const std::vector<serving::ModelStatus>& models);

}  // namespace zeta::server
