// The attention ops by ATen alone, for devices and options without a kernel: torch's flash kernel where it
// computes the same, else the plain formula over blocks of queries, so that memory stays linear in seq_k.
#pragma once

#include "src/ops/flash_attention_options.h"
#include "src/ops/flash_attention_varlen.h"

namespace zeta::ops {

C10_EXPORT std::tuple<at::Tensor, at::Tensor> flash_attention_forward_aten(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& mask,
    double softmax_scale, bool causal, const AttentionOptions& options);

C10_EXPORT AttentionGradients flash_attention_backward_aten(const at::Tensor& grad_out, const at::Tensor& q,
                                                            const at::Tensor& k, const at::Tensor& v,
                                                            const at::Tensor& out, const at::Tensor& lse,
                                                            const std::optional<at::Tensor>& mask,
                                                            double softmax_scale, bool causal,
                                                            const AttentionOptions& options, bool bias_grad);

// The varlen ops, a sequence at a time.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> flash_attention_varlen_forward_aten(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedLengths& lengths,
    double softmax_scale, bool causal, const AttentionOptions& options);

C10_EXPORT PackedGradients flash_attention_varlen_backward_aten(
    const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
    const at::Tensor& out, const at::Tensor& lse, const PackedLengths& lengths, double softmax_scale,
    bool causal, const AttentionOptions& options);

}  // namespace zeta::ops
