// zeta::packed_linear: a linear layer on weights as a model folder stores them; for inference.
//
//   y = x · (codes · scale)ᵀ + bias
//
//   x             (…, in_features), any leading dimensions; float32, bfloat16 or float16
//   format        packed, contiguous                           scale, float32 or bfloat16
//   "ternary"     uint8 (out_features / 4, in_features)        (1)
//   "int4"        int32 (out_features, in_features / 8)        (out_features, in_features / group_size)
//   "w4a8"        as "int4"
//   "int2"        uint8 (out_features / 4, in_features)        (out_features) or (out_features, 1)
//   "int8"        uint8 (out_features, in_features)            the same
//   "fp8"         float8_e4m3fn (out_features, in_features)    the same
//   bias          (out_features) of a floating dtype, or none
//   out_features  as the layer has it; must agree with packed
//   y             (…, out_features), contiguous, x's dtype
//
// The layouts are those of Hugging Face's `bitnet` and of compressed-tensors' `pack-quantized`
// (docs/design/foundation.md). Under "ternary" each token of x is quantised to int8 and the product is exact
// in integers, as it is under "int2" and "int8" (out_features a multiple of 4, in_features < 2¹⁶); under
// "fp8" each is quantised to e4m3 and sums are in fp32. "int2" packs (code + 3) / 2 as ternary's code + 1 is.
// "int8" is four such planes, one after the other: plane p has bits 2p and 2p + 1 of code + 128. Under "int4"
// x is used as it is, group_size is a multiple of 8 and sums are in fp32; under "w4a8" x is quantised to
// int8, a group's sum is exact in integers on CPU and groups are added in fp32. On CPU, and on CUDA with
// libzeta_ops_cuda.so loaded for "ternary" and "int4", the weights are read where they lie; elsewhere, and on
// CUDA for many rows of x (1024, or fewer where the shape fits no tensor core), they are unpacked for each
// call, and a 4-bit weight is rounded to x's dtype.
//
// Not differentiable: a backward through it fails by name, as does torch.func.vmap. Bad arguments throw
// c10::Error naming the argument, its value and the limit.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace zeta::ops {

enum class PackedFormat { kTernary, kInt4, kInt2, kInt8, kFp8, kW4A8 };

// in_features under "w4a8" are fewer: 15 · 128 times as much is an int32.
inline constexpr int64_t kMaxInt8Features = int64_t{1} << 20;

// Throws c10::Error unless the arguments fit together. Works on symbolic shapes.
C10_EXPORT PackedFormat check_packed_linear(const at::Tensor& x, const at::Tensor& packed,
                                            const at::Tensor& scale, const std::optional<at::Tensor>& bias,
                                            std::string_view format, const c10::SymInt& out_features);

// int8 codes (4 n, columns), contiguous, as "int8" has them. Any device.
C10_EXPORT at::Tensor pack_int8_planes(const at::Tensor& codes);

// The formula, on unpacked weights: any device.
C10_EXPORT at::Tensor packed_linear_aten(const at::Tensor& x, const at::Tensor& packed,
                                         const at::Tensor& scale, const std::optional<at::Tensor>& bias,
                                         std::string_view format, c10::SymInt out_features);

// Thread-safe.
C10_EXPORT at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& scale,
                                    const std::optional<at::Tensor>& bias, std::string_view format,
                                    c10::SymInt out_features);

}  // namespace zeta::ops
