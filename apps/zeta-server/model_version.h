// The version of a model, as requests name it.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace zeta::server {

// InvalidArgument, in Triton's words, unless `version` is "" or a decimal number > 0.
absl::Status check_version(std::string_view version);

}  // namespace zeta::server
