// Argument checks of the flash_attention ops, shared by all devices and by shape inference.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace zeta::ops {

inline constexpr int64_t kMaxHeadDim = 256;

// Throw c10::Error unless the arguments are what flash_attention.h demands.
void check_attention_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& mask);
void check_attention_gradient(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& v,
                              const at::Tensor& out, const at::Tensor& lse);

// float32, but float64 for float64.
inline at::ScalarType attention_compute_type(const at::Tensor& q) {
  return q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace zeta::ops
