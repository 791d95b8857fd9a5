// zeta::flash_attention_varlen_forward and _backward: attention within sequences that are packed one behind
// the other.
//
//   q       (total_q, num_heads, head_dim)      dtypes and dimensions as in flash_attention.h
//   k       (total_k, num_kv_heads, head_dim)
//   v       (total_k, num_kv_heads, value_dim)
//   cu_seqlens_q, cu_seqlens_k  int32 (sequences + 1), on q's device: from 0, never falling, to total_q and
//   total_k;
//           sequence s is rows cu_seqlens[s] to cu_seqlens[s + 1], which may be none
//   max_seqlen_q, max_seqlen_k  no sequence is longer
//   options as in flash_attention.h but for the bias; alibi_slopes (num_heads) or (sequences, num_heads)
//   out     (total_q, num_heads, value_dim)
//   lse     (num_heads, total_q)
//
// A sequence's queries see that sequence's keys, as if flash_attention had been called on it alone. The
// lengths are read and checked before any kernel runs.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

struct PackedLengths {
  at::Tensor cu_seqlens_q;
  at::Tensor cu_seqlens_k;
  c10::SymInt max_seqlen_q;
  c10::SymInt max_seqlen_k;
};

using PackedGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// Thread-safe. Differentiable with respect to q, k, v and the sinks when called with gradients enabled.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> flash_attention_varlen_forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedLengths& lengths,
    double softmax_scale, bool causal, const AttentionOptions& options = {});

// The gradients of q, k, v and the sinks.
C10_EXPORT PackedGradients flash_attention_varlen_backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                           const at::Tensor& k, const at::Tensor& v,
                                                           const at::Tensor& out, const at::Tensor& lse,
                                                           const PackedLengths& lengths, double softmax_scale,
                                                           bool causal, const AttentionOptions& options = {});

// Throw c10::Error unless shapes, dtypes and devices are as above; the lengths' values are not looked at.
C10_EXPORT void check_packed_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const PackedLengths& lengths, const AttentionOptions& options);
C10_EXPORT void check_packed_gradient(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& v,
                                      const at::Tensor& out, const at::Tensor& lse);

struct PackedSequence {
  int64_t first_query;
  int64_t seq_q;
  int64_t first_key;
  int64_t seq_k;
};

// The lengths' values, copied to the host and checked.
C10_EXPORT std::vector<PackedSequence> packed_sequences(const at::Tensor& q, const at::Tensor& k,
                                                        const PackedLengths& lengths);

// The ops' flat signatures, as in flash_attention_options.h.
template <auto kForward>
std::tuple<at::Tensor, at::Tensor> flat_varlen_forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& cu_seqlens_q,
    const at::Tensor& cu_seqlens_k, c10::SymInt max_seqlen_q, c10::SymInt max_seqlen_k, double softmax_scale,
    bool causal, c10::SymInt window_left, c10::SymInt window_right, double softcap,
    const std::optional<at::Tensor>& alibi_slopes, const std::optional<at::Tensor>& sinks, double dropout_p,
    const std::optional<at::Tensor>& rng_state, bool deterministic) {
  return kForward(q, k, v, {cu_seqlens_q, cu_seqlens_k, std::move(max_seqlen_q), std::move(max_seqlen_k)},
                  softmax_scale, causal,
                  {std::move(window_left),
                   std::move(window_right),
                   softcap,
                   {},
                   alibi_slopes,
                   sinks,
                   dropout_p,
                   rng_state,
                   deterministic});
}

template <auto kBackward>
PackedGradients flat_varlen_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                                     const at::Tensor& v, const at::Tensor& out, const at::Tensor& lse,
                                     const at::Tensor& cu_seqlens_q, const at::Tensor& cu_seqlens_k,
                                     c10::SymInt max_seqlen_q, c10::SymInt max_seqlen_k, double softmax_scale,
                                     bool causal, c10::SymInt window_left, c10::SymInt window_right,
                                     double softcap, const std::optional<at::Tensor>& alibi_slopes,
                                     const std::optional<at::Tensor>& sinks, double dropout_p,
                                     const std::optional<at::Tensor>& rng_state, bool deterministic) {
  return kBackward(grad_out, q, k, v, out, lse,
                   {cu_seqlens_q, cu_seqlens_k, std::move(max_seqlen_q), std::move(max_seqlen_k)},
                   softmax_scale, causal,
                   {std::move(window_left),
                    std::move(window_right),
                    softcap,
                    {},
                    alibi_slopes,
                    sinks,
                    dropout_p,
                    rng_state,
                    deterministic});
}

}  // namespace zeta::ops
