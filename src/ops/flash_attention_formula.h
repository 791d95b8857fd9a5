// The plain formula of attention in ATen, a block of queries at a time, for devices without a kernel.
#pragma once

#include <ATen/ATen.h>

#include <tuple>

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

// Queries are (batch, kv head, group, seq_q, dim), what belongs to keys (batch, kv head, 1, seq_k, dim), both
// in the computing type.
struct AttentionFormula {
  AttentionFormula(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const std::optional<at::Tensor>& mask, double softmax_scale, bool causal,
                   const AttentionOptions& options);

  // Of queries [first, first + count): scores, and softcap's derivative where there is one.
  struct Scores {
    at::Tensor values;
    at::Tensor slopes;
  };
  Scores scores(int64_t first, int64_t count) const;

  // What dropout multiplies probabilities by, or an undefined tensor.
  at::Tensor dropout(int64_t first, int64_t count) const;

  // exp(scores - lse)
  static at::Tensor probabilities(const at::Tensor& scores, const at::Tensor& lse);

  // (batch, seq, heads, dim) → (batch, kv head, group, seq, dim)
  at::Tensor queries(const at::Tensor& t) const;
  // (batch, heads, …) → (batch, kv head, group, …)
  at::Tensor grouped(const at::Tensor& t) const { return t.unflatten(1, {kv_heads, t.size(1) / kv_heads}); }

  int64_t block_size() const;

  at::Tensor q, k, v, mask, bias, alibi_slopes, sinks;
  double scale;
  int64_t kv_heads;
  int64_t window_left, window_right;  // -1: none; causality is a window too
  AttentionOptions options;
  int64_t first_head = 0;  // what dropout counts as head 0 of batch 0
};

// out (batch, seq_q, heads, value_dim) of `type`, and lse (batch, heads, seq_q).
std::tuple<at::Tensor, at::Tensor> formula_forward(const AttentionFormula& f, at::ScalarType type);

// The gradients, of out's dtype.
AttentionGradients formula_backward(const AttentionFormula& f, const at::Tensor& grad_out,
                                    const at::Tensor& out, const at::Tensor& lse, bool bias_grad);

}  // namespace zeta::ops
