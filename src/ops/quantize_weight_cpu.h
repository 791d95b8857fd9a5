// Weights quantised on CPU in the forms that products read.
#pragma once

#include <ATen/core/Tensor.h>

#include "src/ops/quantize_weight.h"

namespace zeta::ops {

// What the forward multiplies with, codes · scale, rounded once to dtype; codes are never stored. Ternary or
// 4-bit.
at::Tensor use_weight_cpu(const at::Tensor& weight, Precision precision, int64_t group_size,
                          at::ScalarType dtype);

// Codes of zeta::quantize_weight in the layout of zeta::packed_linear. Ternary and 1-bit ones have 4 n rows,
// 2- and 8-bit ones get zeros up to that.
at::Tensor pack_codes_cpu(const at::Tensor& codes, Precision precision);

}  // namespace zeta::ops
