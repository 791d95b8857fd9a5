// Training's quantisers on a GPU, each one pass over its tensor (kernels/cuda/quantize).
#pragma once

#include <ATen/core/Tensor.h>

#include "src/ops/quantize_activation.h"
#include "src/ops/quantize_weight.h"

namespace zeta::ops {

struct QuantizedWeight {
  at::Tensor codes, scale;  // as zeta::quantize_weight gives them
};

// `weight` is a checked one on a GPU.
QuantizedWeight quantize_weight_cuda(const at::Tensor& weight, Precision precision, int64_t group_size);

// Ŵ = codes · scale in `dtype`, a 32- or 16-bit one; its codes are never in memory.
at::Tensor weight_used_cuda(const at::Tensor& weight, Precision precision, int64_t group_size,
                            at::ScalarType dtype);

// x (tokens, features) of a 32- or 16-bit dtype, to codes of `type`: int8, or float8_e4m3fn as quantize_fp8.h
// has it; no sums.
QuantizedActivation quantize_activation_cuda(const at::Tensor& x, at::ScalarType type);

// As dequantize_activation, to a 32- or 16-bit dtype.
at::Tensor dequantize_activation_cuda(const at::Tensor& codes, const at::Tensor& scale, at::ScalarType dtype);

}  // namespace zeta::ops
