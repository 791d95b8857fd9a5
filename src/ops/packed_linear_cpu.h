// Products with packed weights on CPU, in parallel: what zeta::packed_linear and the training ops share.
#pragma once

#include <ATen/core/Tensor.h>

#include "src/ops/quantize_activation.h"

namespace zeta::ops {

// All give fp32 (tokens, out_features). packed and int4's scale are those of zeta::packed_linear; bias is
// fp32, contiguous, or undefined.
at::Tensor ternary_product(const QuantizedActivation& x, const at::Tensor& packed, float scale,
                           const at::Tensor& bias);
// x is (tokens, in_features) of any floating dtype.
at::Tensor int4_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& scale,
                        const at::Tensor& bias);
// Of w4a8; in_features < kMaxInt8Features.
at::Tensor int4_product(const QuantizedActivation& x, const at::Tensor& packed, const at::Tensor& scale,
                        const at::Tensor& bias);

}  // namespace zeta::ops
