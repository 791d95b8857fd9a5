// Where the command line says that the models are.
#pragma once

#include <memory>

#include "apps/zeta-server/options.h"
#include "src/serving/registry.h"

namespace zeta::server {

// A registry of what is to be loaded at the start. Throws StartFailure for folders that cannot be read,
// models that are not there and settings that no model uses.
std::shared_ptr<serving::ModelRegistry> find_models(const Options& options);

}  // namespace zeta::server
