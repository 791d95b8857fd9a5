// The flash_attention ops on CUDA GPUs other than Hopper: the kernels for Ampere where they compute what is
// asked for, else ATen. Arguments have been checked.
#pragma once

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

std::tuple<at::Tensor, at::Tensor> flash_attention_forward_ampere(const at::Tensor& q, const at::Tensor& k,
                                                                  const at::Tensor& v,
                                                                  const std::optional<at::Tensor>& mask,
                                                                  double scale, bool causal,
                                                                  const AttentionOptions& options);

AttentionGradients flash_attention_backward_ampere(const at::Tensor& grad_out, const at::Tensor& q,
                                                   const at::Tensor& k, const at::Tensor& v,
                                                   const at::Tensor& out, const at::Tensor& lse,
                                                   const std::optional<at::Tensor>& mask, double scale,
                                                   bool causal, const AttentionOptions& options,
                                                   bool bias_grad);

}  // namespace zeta::ops
