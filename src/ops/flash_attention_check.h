// Argument checks of the flash_attention ops, shared by all devices and by shape inference.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace zeta::ops {

inline constexpr int64_t kMaxHeadDim = 256;

// Throw c10::Error unless the arguments are what flash_attention.h demands.
C10_EXPORT void check_attention_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       const std::optional<at::Tensor>& mask);
// The same of shapes and devices alone, and that dtypes are alike.
C10_EXPORT void check_attention_operands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
// q's dtype.
void check_attention_type(const at::Tensor& q);
// Its dimensions and heads, and those of keys and values that belong to it.
void check_attention_heads(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
// `name` must be broadcastable to (batch, num_heads, seq_q, seq_k).
void check_attention_broadcast(const at::Tensor& t, const char* name, const at::Tensor& q,
                               const at::Tensor& k);
C10_EXPORT void check_attention_gradient(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& v,
                                         const at::Tensor& out, const at::Tensor& lse);

// float32, but float64 for float64.
inline at::ScalarType attention_compute_type(const at::Tensor& q) {
  return q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// The chance of 65536 that a probability is dropped.
inline uint32_t attention_dropout_threshold(double dropout_p) {
  return static_cast<uint32_t>(std::min(std::round(65536 * dropout_p), 65535.0));
}

}  // namespace zeta::ops
