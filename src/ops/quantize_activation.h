// Activations as int8, a scale for each token: the other operand of products with integer weights. (As e4m3:
// quantize_fp8.h.)
#pragma once

#include <ATen/core/Tensor.h>

namespace zeta::ops {

struct QuantizedActivation {
  at::Tensor codes;  // int8 (tokens, features); on CPU rows are padded to a multiple of 64
  at::Tensor scale;  // float32 (tokens, 1); int8 codes / scale approximates x
  at::Tensor sum;    // int32 (tokens), of each row's int8 codes; CPU only
};

// x̂ as (tokens, features) of dtype from contiguous codes (…, features) and scale (…): int8 codes / scale or
// e4m3 codes · scale in fp32, rounded once.
C10_EXPORT at::Tensor dequantize_activation(const at::Tensor& codes, const at::Tensor& scale,
                                            at::ScalarType dtype);

// x is (tokens, features ≥ 1) of a floating dtype on any device; evaluated in fp32. Thread-safe.
C10_EXPORT QuantizedActivation quantize_activation(const at::Tensor& x);

}  // namespace zeta::ops
