// Products with packed weights on CPU, in parallel: what zeta::packed_linear and the training ops share.
#pragma once

#include <ATen/core/Tensor.h>

#include "src/ops/quantize_activation.h"

namespace zeta::ops {

// All give fp32 (tokens, out_features). packed and int4's scale are those of zeta::packed_linear; bias is
// fp32, contiguous, or undefined.
at::Tensor ternary_product(const QuantizedActivation& x, const at::Tensor& packed, float scale,
                           const at::Tensor& bias);
// The 2-bit (planes = 1) and the 8-bit product (planes = 4): packed is that of zeta::packed_linear, whose
// rows may be padded; scale float32 (out_features, 1). At most kMostPlaneColumns in_features.
at::Tensor planes_product(const QuantizedActivation& x, const at::Tensor& packed, int64_t planes,
                          const at::Tensor& scale, const at::Tensor& bias);
constexpr int64_t kMostPlaneColumns = 65535;  // so that a float32 holds the sums of a plane
// x is (tokens, in_features) of any floating dtype; scale has out_features elements of any.
at::Tensor fp8_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& scale,
                       const at::Tensor& bias);
at::Tensor int4_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& scale,
                        const at::Tensor& bias);
// Of w4a8; in_features < kMaxInt8Features.
at::Tensor int4_product(const QuantizedActivation& x, const at::Tensor& packed, const at::Tensor& scale,
                        const at::Tensor& bias);

}  // namespace zeta::ops
