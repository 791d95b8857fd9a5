// zeta::flash_attention_forward and _backward: exact attention in memory linear in the sequence.
//
//   out = softmax(softmax_scale · q kᵀ, where allowed) v      lse = log Σ exp(softmax_scale · q kᵀ, where
//   allowed)
//
// and with what AttentionOptions adds to the scores or drops of the probabilities: docs/design/attention.md.
// Dao et al., "FlashAttention" (2022). Conventions are those of the flash-attn package.
//
//   q     (batch, seq_q, num_heads, head_dim)     float32, bfloat16, float16 or float64; head_dim 1..256
//   k     (batch, seq_k, num_kv_heads, head_dim)  dtype and device of q; num_kv_heads divides num_heads
//   v     (batch, seq_k, num_kv_heads, value_dim) value_dim 1..256
//   mask  bool, true = attend, broadcastable to (batch, num_heads, seq_q, seq_k)
//   causal: query i sees keys up to i + seq_k - seq_q (aligned bottom-right)
//   out   (batch, seq_q, num_heads, value_dim), contiguous, dtype of q; 0 in rows that may attend nothing
//   lse   (batch, num_heads, seq_q) float32 (float64 for float64); natural log; -inf in such rows; not
//   differentiable
//   options: bias of q's dtype or lse's; window sizes ≥ 0 or -1; softcap ≥ 0; sinks (num_heads) of q's dtype
//   or lse's; 0 ≤ dropout_p < 1
//
// Any strides are accepted; a last dimension that is not contiguous is copied. Arithmetic is fp32. Gradients
// are deterministic on CPU. A call with bad arguments throws c10::Error naming the argument, its value and
// the limit. Under autocast q, k and v are cast to its dtype. torch.func.vmap and double backward are refused
// by name.
//
// CPU has kernels of its own; on other devices the ops run torch's flash kernel where it computes the same,
// else the formula in ATen, a block of queries at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

// Thread-safe. Differentiable with respect to q, k, v, the bias and the sinks when called with gradients
// enabled.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> flash_attention_forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& mask,
    double softmax_scale, bool causal, const AttentionOptions& options = {});

// The gradients of q, k, v, bias and sinks, from out and lse of the forward with the same arguments. That of
// the bias has no elements unless bias_grad, that of the sinks none where there are none.
C10_EXPORT AttentionGradients flash_attention_backward(
    const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
    const at::Tensor& out, const at::Tensor& lse, const std::optional<at::Tensor>& mask, double softmax_scale,
    bool causal, const AttentionOptions& options = {}, bool bias_grad = false);

}  // namespace zeta::ops
