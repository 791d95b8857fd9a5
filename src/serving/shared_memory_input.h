// Reads inputs that stand in a client's shared memory.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"
#include "src/serving/shared_memory.h"

namespace zeta::serving {

// A copy of `range` as the data of `input` of the model `model`, made only when its size is what datatype and
// shape say, or at most 2 GiB of kBytes: naming a large range costs a client nothing. InvalidArgument in
// Triton's words.
absl::StatusOr<Buffer> read_input(const SharedMemoryRange& range, const TensorMetadata& input,
                                  std::string_view model);

}  // namespace zeta::serving
