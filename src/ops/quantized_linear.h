// The forward of a quantised layer from its codes, in ATen: any device, any floating dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "src/ops/quantize_activation.h"
#include "src/ops/quantize_weight.h"

namespace zeta::ops {

// codes · scale, rounded once, to dtype. codes and scale are those of zeta::quantize_weight.
C10_EXPORT at::Tensor dequantize_weight(const at::Tensor& codes, const at::Tensor& scale,
                                        at::ScalarType dtype);

// quantized_linear of an activation that has been quantised, to int8 with an integer weight, to e4m3 with an
// fp8 one; in dtype.
C10_EXPORT at::Tensor codes_linear(const QuantizedActivation& x, const at::Tensor& codes,
                                   const at::Tensor& scale, const std::optional<at::Tensor>& bias,
                                   at::ScalarType dtype);

// x (tokens, in_features) times the weight of codes and scale, plus bias (out_features); in x's dtype.
// fp8 activations are quantised to e4m3, and the product is one of fp32. Under 4bit they stay; else they are
// quantised to int8, and w4a8's codes · scale is rounded to x's dtype; where the matrix product sums in fp32,
// as ATen's do, a ternary one is exact below in_features = 2¹⁷ up to the rounding of its result to x's dtype.
at::Tensor quantized_linear(const at::Tensor& x, const at::Tensor& codes, const at::Tensor& scale,
                            const std::optional<at::Tensor>& bias, Precision precision);

}  // namespace zeta::ops
