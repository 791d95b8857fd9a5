// What a model gave, as the outputs it was configured with.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// The positions of outputs among a model's results.
class Results {
 public:
  // `names` are those of the results where they have any.
  static absl::StatusOr<Results> match(const std::vector<serving::TensorMetadata>& outputs,
                                       const std::vector<std::string>& names, size_t count);

  // A tensor, a list of strings, a tuple or list of these, or a dictionary of them by name. Only what
  // `wanted` names (all where it is empty) is looked at. Internal names the output that is missing or of
  // another type. `non_blocking`: as from_tensor().
  absl::StatusOr<std::vector<serving::Tensor>> read(const c10::IValue& result,
                                                    const std::vector<std::string>& wanted,
                                                    bool non_blocking) const;

 private:
  std::vector<serving::TensorMetadata> outputs_;
  std::vector<size_t> positions_;
};

}  // namespace zeta::torch_backend
