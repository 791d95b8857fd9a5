// Whether two runs of a model gave the same.
#pragma once

#include <string>
#include <vector>

#include "src/serving/backend.h"

namespace zeta::torch_backend {

// Empty when `actual` is `expected`: equal shapes and bytes, or floating-point values that are apart by no
// more than 32 units in the last place of the largest, since kernels chosen anew may add in another order.
// NaN equals NaN. Else the first output that differs, and by how much.
std::string output_difference(const std::vector<serving::Tensor>& expected,
                              const std::vector<serving::Tensor>& actual);

}  // namespace zeta::torch_backend
