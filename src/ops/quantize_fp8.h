// The fp8 formulas in ATen, for every device without a kernel of ours: e4m3 codes with a scale a row that
// multiplies. docs/design/foundation.md has the arithmetic.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "src/ops/quantize_activation.h"

namespace zeta::ops {

// w (rows, columns) float32: float8_e4m3fn codes of its shape, float32 scale (rows, 1) that bfloat16 holds.
std::tuple<at::Tensor, at::Tensor> quantize_fp8_weight(const at::Tensor& w);

// x (tokens, features) of any floating dtype; scale (tokens, 1), codes · scale approximates x. No sums.
QuantizedActivation quantize_fp8_activation(const at::Tensor& x);

}  // namespace zeta::ops
