// Which argument of a model each input is, and which result each output.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// For each tensor its position, by the first of these rules that holds for all:
//   - every name is one of `names`: the position of that name
//   - every name ends in two underscores and a number, as INPUT__1: the number
//   - the order of the configuration
// InvalidArgument names the tensor whose position is beyond `count`, or taken.
absl::StatusOr<std::vector<size_t>> positions_of(const std::vector<serving::TensorMetadata>& tensors,
                                                 const std::vector<std::string>& names, size_t count);

}  // namespace zeta::torch_backend
