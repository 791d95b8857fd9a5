// The names of an AOTInductor package's tensors.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace zeta::torch_backend {

// The leaves of a package's call spec in the order in which it takes or gives them, named by their way in:
// ARGS[0], ARGS[1][key], KWARGS[key] for inputs; RESULT, RESULT[0], RESULT[key][1] for outputs.
// InvalidArgument when the text is not a tree of tuples, lists and dictionaries as torch writes it.
absl::StatusOr<std::vector<std::string>> input_names(const std::string& in_spec);
absl::StatusOr<std::vector<std::string>> output_names(const std::string& out_spec);

}  // namespace zeta::torch_backend
