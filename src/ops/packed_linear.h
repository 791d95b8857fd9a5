// zeta::packed_linear: a linear layer on weights as a model folder stores them; for inference.
//
//   y = x · (codes · scale)ᵀ + bias
//
//   x             (…, in_features), any leading dimensions; float32, bfloat16 or float16
//   format        packed, contiguous                           scale, float32 or bfloat16
//   "ternary"     uint8 (out_features / 4, in_features)        (1)
//   "int4"        int32 (out_features, in_features / 8)        (out_features, in_features / group_size)
//   "w4a8"        as "int4"
//   bias          (out_features) of a floating dtype, or none
//   out_features  as the layer has it; must agree with packed
//   y             (…, out_features), contiguous, x's dtype
//
// The layouts are those of Hugging Face's `bitnet` and of compressed-tensors' `pack-quantized`
// (docs/design/foundation.md). Under "ternary" each token of x is quantised to int8 and the product is exact
// in integers; under "int4" x is used as it is, group_size is a multiple of 8 and sums are in fp32; under
// "w4a8" x is quantised as under "ternary", a group's sum is exact in integers on CPU and groups are added in
// fp32. On CPU, and on CUDA with libzeta_ops_cuda.so loaded, the weights are read where they lie; elsewhere,
// and on CUDA for many rows of x (1024, or fewer where the shape fits no tensor core) and for "w4a8", they
// are unpacked for each call, and an int4 weight is rounded to x's dtype.
//
// Not differentiable: a backward through it fails by name, as does torch.func.vmap. Bad arguments throw
// c10::Error naming the argument, its value and the limit.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace zeta::ops {

enum class PackedFormat { kTernary, kInt4, kW4A8 };

// in_features under "w4a8" are fewer: 15 · 128 times as much is an int32.
inline constexpr int64_t kMaxInt8Features = int64_t{1} << 20;

// Throws c10::Error unless the arguments fit together. Works on symbolic shapes.
C10_EXPORT PackedFormat check_packed_linear(const at::Tensor& x, const at::Tensor& packed,
                                            const at::Tensor& scale, const std::optional<at::Tensor>& bias,
                                            std::string_view format, const c10::SymInt& out_features);

// Thread-safe.
C10_EXPORT at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& scale,
                                    const std::optional<at::Tensor>& bias, std::string_view format,
                                    c10::SymInt out_features);

// The same in ATen, for devices without a kernel.
C10_EXPORT at::Tensor packed_linear_aten(const at::Tensor& x, const at::Tensor& packed,
                                         const at::Tensor& scale, const std::optional<at::Tensor>& bias,
                                         std::string_view format, c10::SymInt out_features);

}  // namespace zeta::ops
