// The arguments of a TorchScript model's forward, and how inputs become them.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

class Signature {
 public:
  // InvalidArgument names the input that no argument takes, or whose type the argument cannot be.
  static absl::StatusOr<Signature> match(const torch::jit::Module& module,
                                         const std::vector<serving::TensorMetadata>& inputs);

  // The arguments for forward out of `inputs`, which are in the order of the configuration; where one is None
  // the argument gets its default.
  std::vector<c10::IValue> arguments(std::vector<c10::IValue> inputs) const;

 private:
  struct Slot {
    serving::TensorMetadata input;
    size_t position;
  };

  std::vector<c10::Argument> arguments_;
  std::vector<Slot> slots_;
  bool takes_dictionary_ = false;  // one argument, Dict[str, Tensor], with the inputs by name
};

// InvalidArgument names tensor and both shapes when `given` does not fit `expected`. A compiled package would
// read beyond its inputs.
absl::Status check_shape(const serving::TensorMetadata& expected, const serving::BatchInput& given);

}  // namespace zeta::torch_backend
