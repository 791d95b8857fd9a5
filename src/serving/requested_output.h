// How a client wants to have an output: which, where, in what form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"
#include "src/serving/shared_memory.h"

namespace zeta::serving {

// Where in shared memory an output goes.
struct OutputTarget {
  std::string region;
  uint64_t offset = 0;
  SharedMemoryRange range;
};

struct RequestedOutput {
  std::string name;
  int64_t classification = 0;  // > 0: the so many highest values instead of the tensor
  std::optional<OutputTarget> target;
  std::optional<bool> binary;  // over HTTP: bytes behind the JSON; unset: as the request says of all
};

// An output as it is answered. In shared memory `tensor.data` is empty.
struct DeliveredOutput {
  Tensor tensor;
  const RequestedOutput* request = nullptr;  // null: not asked for by name
  size_t byte_size = 0;                      // of the tensor, wherever it is
};

// Takes from `outputs` those that `requested` names (all if it is empty), in the model's order, classifies
// them and copies them into shared memory. Of a model with batches each element of a batch is classified by
// itself. Pointers are into `requested`. InvalidArgument when the classes of a BYTES tensor are asked for;
// Internal when an output is larger than the shared memory given for it.
absl::StatusOr<std::vector<DeliveredOutput>> deliver_outputs(const ModelMetadata& model,
                                                             const std::vector<RequestedOutput>& requested,
                                                             std::vector<Tensor> outputs);

// The `count` highest values as a kBytes tensor of shape [count] ([batch, count] where `batched`), each
// "value:index", or "value:index:label" where there is a label for it, highest first, the lower index first
// among equals; `count` is cut to what there is.
absl::StatusOr<Tensor> classify(const Tensor& tensor, int64_t count, bool batched,
                                const std::vector<std::string>& labels = {});

}  // namespace zeta::serving
