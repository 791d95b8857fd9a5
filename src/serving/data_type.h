// The element types of tensors under their names on the KServe v2 wire ("FP32", "BYTES", …).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "src/serving/backend.h"

namespace zeta::serving {

std::string_view data_type_name(DataType type);
std::optional<DataType> parse_data_type(std::string_view name);

// Bytes of one element; 0 for kBytes, whose elements differ in length.
size_t element_size(DataType type);

}  // namespace zeta::serving
