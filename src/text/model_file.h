// The small text files of a model folder.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "boost/json/object.hpp"

namespace zeta::text {

// The whole of `path`; NotFound when it does not exist, FailedPrecondition when it cannot be read.
absl::StatusOr<std::string> read_model_file(const std::string& path);

// `path` as a JSON object; besides the above, InvalidArgument when it is none.
absl::StatusOr<boost::json::object> read_model_json(const std::string& path);

}  // namespace zeta::text
