// What the flash_attention ops take beyond q, k, v, mask, scale and causality; docs/design/attention.md has
// the formula.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <optional>
#include <tuple>

namespace zeta::ops {

struct AttentionOptions {
  c10::SymInt window_left = -1;                 // keys seen before a query's own position; -1: all
  c10::SymInt window_right = -1;                // … after it
  double softcap = 0;                           // 0: none
  std::optional<at::Tensor> bias = {};          // broadcastable to (batch, num_heads, seq_q, seq_k)
  std::optional<at::Tensor> alibi_slopes = {};  // (num_heads) or (batch, num_heads), float32
  std::optional<at::Tensor> sinks = {};         // (num_heads)
  double dropout_p = 0;                         // 0 ≤ p < 1
  std::optional<at::Tensor> rng_state = {};     // int64 (2): seed and offset; needed where dropout_p > 0
  bool deterministic = false;                   // the same gradients in every run, whatever it costs

  // Whether none of them changes the result: attention of q, k, v, mask, scale and causality alone.
  bool plain() const {
    return window_left == -1 && window_right == -1 && softcap == 0 && !bias && !alibi_slopes && !sinks &&
           dropout_p == 0;
  }
};

// Throw c10::Error unless the options are what flash_attention.h demands.
C10_EXPORT void check_attention_options(const at::Tensor& q, const at::Tensor& k,
                                        const AttentionOptions& options);
// … where slopes may be given for each of `batch`.
void check_attention_options(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options,
                             const c10::SymInt& batch);

// The seldom gradients: of the bias and of the sinks, without elements where there is none.
C10_EXPORT at::Tensor empty_bias_gradient(const at::Tensor& q, const AttentionOptions& options,
                                          bool bias_grad);
C10_EXPORT at::Tensor empty_sink_gradient(const at::Tensor& q, const AttentionOptions& options);

// -Σ exp(sink - lse) · D over all rows of a head, by ATen, with D = Σ_d grad_out · out; for batches and for
// packed sequences.
C10_EXPORT at::Tensor sink_gradient(const at::Tensor& grad_out, const at::Tensor& out, const at::Tensor& lse,
                                    const AttentionOptions& options);

using AttentionGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// The ops' flat signatures over functions that take AttentionOptions, for TORCH_LIBRARY_IMPL.
template <auto kForward>
std::tuple<at::Tensor, at::Tensor> flat_forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& mask,
    double softmax_scale, bool causal, c10::SymInt window_left, c10::SymInt window_right, double softcap,
    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& alibi_slopes,
    const std::optional<at::Tensor>& sinks, double dropout_p, const std::optional<at::Tensor>& rng_state,
    bool deterministic) {
  return kForward(q, k, v, mask, softmax_scale, causal,
                  {std::move(window_left), std::move(window_right), softcap, bias, alibi_slopes, sinks,
                   dropout_p, rng_state, deterministic});
}

template <auto kBackward>
AttentionGradients flat_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                                 const at::Tensor& v, const at::Tensor& out, const at::Tensor& lse,
                                 const std::optional<at::Tensor>& mask, double softmax_scale, bool causal,
                                 c10::SymInt window_left, c10::SymInt window_right, double softcap,
                                 const std::optional<at::Tensor>& bias,
                                 const std::optional<at::Tensor>& alibi_slopes,
                                 const std::optional<at::Tensor>& sinks, double dropout_p,
                                 const std::optional<at::Tensor>& rng_state, bool deterministic,
                                 bool bias_grad) {
  return kBackward(grad_out, q, k, v, out, lse, mask, softmax_scale, causal,
                   {std::move(window_left), std::move(window_right), softcap, bias, alibi_slopes, sinks,
                    dropout_p, rng_state, deterministic},
                   bias_grad);
}

}  // namespace zeta::ops
