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

// A tensor on `device`. A single piece stays where it is if it is on the CPU and aligned to its elements; it
// is then kept alive by the result. Otherwise the pieces are copied, once. InvalidArgument names the tensor
// and both sizes when they are not what the shape says.
absl::StatusOr<at::Tensor> to_tensor(const serving::BatchInput& input, const at::Device& device);

// The elements of a kBytes input, which torch knows as a list.
absl::StatusOr<std::vector<std::string>> to_strings(const serving::BatchInput& input);

// Shares the tensor's memory where that is dense and on the CPU. Internal names an output of a type that has
// no name on the wire. With `copies` the memory is never shared: the model will write there again.
absl::StatusOr<serving::Tensor> from_tensor(const std::string& name, const at::Tensor& tensor, bool copies);
// [n], or [n, 1] where `shape` has two dimensions.
serving::Tensor from_strings(const std::string& name, const std::vector<std::string>& strings, size_t rank);

// Internal names output and both types when `tensor` is not of the type that was announced.
absl::Status check_type(const serving::TensorMetadata& expected, const serving::Tensor& tensor);

// Waits for what `device` still computes, and gives its cached memory back if `clean`.
void finish(const at::Device& device, bool clean);

// FailedPrecondition when a GPU is wanted that is not there.
absl::StatusOr<at::Device> device_of(const serving::Placement& placement);

}  // namespace zeta::torch_backend
