// Between the server's tensors and torch's.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// Nothing for kBytes, and for the unsigned integers wider than a byte no operators exist, but the type does.
std::optional<at::ScalarType> to_scalar_type(serving::DataType type);
std::optional<serving::DataType> to_data_type(at::ScalarType type);

// A tensor on the CPU. A single piece stays where it is if it is aligned to its elements; it is then kept
// alive by the result. Otherwise, and always with `pinned`, whence a GPU can fetch it without waiting, the
// pieces are copied, once. InvalidArgument names the tensor and both sizes when they are not what the shape
// says.
absl::StatusOr<at::Tensor> to_host(const serving::BatchInput& input, bool pinned);
// The same on `device`, or a list of strings for kBytes. On a GPU it is on its way along the current stream.
absl::StatusOr<c10::IValue> to_value(const serving::BatchInput& input, const at::Device& device);

// The elements of a kBytes input, which torch knows as a list.
absl::StatusOr<std::vector<std::string>> to_strings(const serving::BatchInput& input);

// Shares the tensor's memory where that is dense, on the CPU and nobody else's: a model may write to what it
// keeps, and ends before its answer does. Internal names an output of a type that has no name on the wire.
// With `non_blocking` what comes from a GPU is there once the current stream has got so far, and `tensor`
// must live until then.
absl::StatusOr<serving::Tensor> from_tensor(const std::string& name, const at::Tensor& tensor,
                                            bool non_blocking);
// [n], or [n, 1] where `shape` has two dimensions.
serving::Tensor from_strings(const std::string& name, const std::vector<std::string>& strings, size_t rank);

// Internal names output and both types when `tensor` is not of the type that was announced.
absl::Status check_type(const serving::TensorMetadata& expected, const serving::Tensor& tensor);

}  // namespace zeta::torch_backend
