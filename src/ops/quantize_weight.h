// zeta::quantize_weight: the codes and scales that a quantised layer's forward uses.
//
//   weight  (out_features, in_features), both ≥ 1; float32, bfloat16, float16 or float64; evaluated in fp32
//   codes   int8, or float8_e4m3fn under "fp8"; shape of weight
//   scale   float32; codes · scale is the weight that the forward multiplies with
//
//   precision  codes   scale
//   1.58bit    −1..1   (1)                                       BitNet b1.58, arXiv 2402.17764
//   1bit       −1, 1   (1)                                       BitNet, arXiv 2310.11453
//   2bit       −3, −1, 1, 3  (out_features, 1)
//   4bit       −8..7   (out_features, in_features / group_size)  group_size a multiple of 8 that divides
//   in_features
//   w4a8       as 4bit
//   8bit       −128..127  (out_features, 1)
//   fp8        e4m3   (out_features, 1)
//
// The arithmetic is written in docs/design/foundation.md. A weight that is not finite gives a scale that is
// not. Not differentiable; torch.func.vmap is refused by name. A call with bad arguments throws c10::Error
// naming the argument, its value and the limit.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/DimVector.h>

#include <string_view>
#include <tuple>

namespace zeta::ops {

enum class Precision { kTernary, kInt4, kFp8, kBinary, kInt2, kInt8, kW4A8 };

// Whether weights have the codes and scales of 4bit.
C10_EXPORT bool has_int4_weights(Precision precision);

// Throws c10::Error naming the known ones.
C10_EXPORT Precision parse_precision(std::string_view name);

// Throws c10::Error unless weight can be quantised so. Works on symbolic shapes.
C10_EXPORT void check_weight(const at::Tensor& weight, Precision precision, int64_t group_size);

// The dtype of codes, and the sizes of scale, that quantize_weight gives. Works on symbolic shapes.
C10_EXPORT at::ScalarType weight_codes(Precision precision);
C10_EXPORT c10::SymDimVector scale_sizes(const at::Tensor& weight, Precision precision, int64_t group_size);

// float32, bfloat16, float16 or float64.
bool is_supported_float(at::ScalarType type);

// Thread-safe.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> quantize_weight(const at::Tensor& weight,
                                                              std::string_view precision, int64_t group_size);

}  // namespace zeta::ops
