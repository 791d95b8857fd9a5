// Reading a model's configuration.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model_config.pb.h"

namespace zeta::serving {

// protobuf's text form, as in config.pbtxt. InvalidArgument names `path`, line and column of the first
// mistake; a field that model_config.proto does not have is one.
absl::StatusOr<inference::ModelConfig> parse_model_config(std::string_view text, std::string_view path);

// JSON, as GET /v2/models/MODEL/config answers it and as the load API takes it.
absl::StatusOr<inference::ModelConfig> parse_model_config_json(std::string_view json);

}  // namespace zeta::serving
