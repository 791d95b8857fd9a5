// Making and reading the tensors of backend.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// "[2,-1]".
std::string shape_text(const std::vector<int64_t>& shape);

// Product of the dimensions. InvalidArgument when one is negative or the product exceeds 2⁴⁸.
absl::StatusOr<int64_t> element_count(const std::vector<int64_t>& shape);

// A buffer that owns `bytes`.
Buffer make_buffer(std::string bytes);
// `buffer` itself, or a copy of it where it does not begin at a multiple of the element's size.
Buffer aligned(Buffer buffer, DataType type);

// A kBytes tensor of shape [n].
Tensor bytes_tensor(std::string name, std::initializer_list<std::string_view> elements);
// Appends one element of a kBytes tensor's data.
void append_bytes_element(std::string& data, std::string_view element);

// A kInt32 tensor of shape [n].
Tensor int32_tensor(std::string name, std::span<const int32_t> elements);

// The elements of a kBytes tensor as views of its memory. InvalidArgument when a length points beyond the end
// or the number of elements is not what the shape says.
absl::StatusOr<std::vector<std::string_view>> bytes_elements(const Tensor& tensor);

// nullptr when there is none of that name.
const Tensor* find_tensor(const std::vector<Tensor>& tensors, std::string_view name);

}  // namespace zeta::serving
