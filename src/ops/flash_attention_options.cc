#include "src/ops/flash_attention_options.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "src/ops/flash_attention_check.h"

namespace zeta::ops {
namespace {

using at::Tensor;

void check_device(const Tensor& t, const char* name, const Tensor& q) {
  TORCH_CHECK(t.device() == q.device(), "flash_attention: expected ", name, " on q's device ", q.device(),
              ", got ", t.device());
}

void check_score_type(const Tensor& t, const char* name, const Tensor& q) {
  TORCH_CHECK_TYPE(t.scalar_type() == q.scalar_type() || t.scalar_type() == attention_compute_type(q),
                   "flash_attention: expected ", name, " of q's dtype ", q.scalar_type(), " or of ",
                   attention_compute_type(q), ", got ", t.scalar_type());
  check_device(t, name, q);
}

void check_bias(const Tensor& bias, const Tensor& q, const Tensor& k) {
  check_score_type(bias, "bias", q);
  check_attention_broadcast(bias, "a bias", q, k);
}

void check_slopes(const Tensor& slopes, const Tensor& q, const c10::SymInt& batch) {
  TORCH_CHECK_TYPE(slopes.scalar_type() == at::kFloat,
                   "flash_attention: expected alibi_slopes of float32, got ", slopes.scalar_type());
  check_device(slopes, "alibi_slopes", q);
  const bool one = slopes.dim() == 1 && slopes.sym_size(0) == q.sym_size(2);
  const bool each = slopes.dim() == 2 && slopes.sym_size(0) == batch && slopes.sym_size(1) == q.sym_size(2);
  TORCH_CHECK_VALUE(one || each, "flash_attention: expected alibi_slopes of shape (num_heads) = [",
                    q.sym_size(2), "] or (batch, num_heads) = [", batch, ", ", q.sym_size(2), "], got ",
                    slopes.sym_sizes());
}

void check_dropout(const AttentionOptions& options, const Tensor& q) {
  const double p = options.dropout_p;
  TORCH_CHECK_VALUE(p >= 0 && p < 1, "flash_attention: expected 0 ≤ dropout_p < 1, got ", p);
  if (p == 0) return;
  TORCH_CHECK_VALUE(options.rng_state.has_value(),
                    "flash_attention: expected rng_state, since dropout_p = ", p);
  const Tensor& state = *options.rng_state;
  TORCH_CHECK_TYPE(state.scalar_type() == at::kLong, "flash_attention: expected rng_state of int64, got ",
                   state.scalar_type());
  check_device(state, "rng_state", q);
  TORCH_CHECK_VALUE(state.dim() == 1 && state.sym_size(0) == 2,
                    "flash_attention: expected rng_state of shape [2] (seed, offset), got ",
                    state.sym_sizes());
}

}  // namespace

void check_attention_options(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  check_attention_options(q, k, options, q.sym_size(0));
}

void check_attention_options(const Tensor& q, const Tensor& k, const AttentionOptions& options,
                             const c10::SymInt& batch) {
  TORCH_CHECK_VALUE(options.window_left >= -1 && options.window_right >= -1,
                    "flash_attention: expected a window of sizes ≥ 0, or -1 for none, got (",
                    options.window_left, ", ", options.window_right, ")");
  TORCH_CHECK_VALUE(options.softcap >= 0 && std::isfinite(options.softcap),
                    "flash_attention: expected a finite softcap ≥ 0 (0 = none), got ", options.softcap);
  if (options.bias) check_bias(*options.bias, q, k);
  if (options.alibi_slopes) check_slopes(*options.alibi_slopes, q, batch);
  if (options.sinks) {
    check_score_type(*options.sinks, "sinks", q);
    TORCH_CHECK_VALUE(options.sinks->dim() == 1 && options.sinks->sym_size(0) == q.sym_size(2),
                      "flash_attention: expected sinks of shape (num_heads) = [", q.sym_size(2), "], got ",
                      options.sinks->sym_sizes());
  }
  check_dropout(options, q);
}

Tensor empty_bias_gradient(const Tensor& q, const AttentionOptions& options, bool bias_grad) {
  if (!options.bias || !bias_grad) return at::empty({0}, q.options());
  return at::empty_symint(options.bias->sym_sizes(), options.bias->options());
}

Tensor empty_sink_gradient(const Tensor& q, const AttentionOptions& options) {
  if (!options.sinks) return at::empty({0}, q.options());
  return at::empty_symint(options.sinks->sym_sizes(), options.sinks->options());
}

Tensor sink_gradient(const Tensor& grad_out, const Tensor& out, const Tensor& lse,
                     const AttentionOptions& options) {
  if (!options.sinks) return empty_sink_gradient(out, options);
  const Tensor sinks = options.sinks->to(lse.scalar_type()).unsqueeze(-1);
  // -inf - -inf, where neither keys nor a sink count.
  const Tensor seen = lse.masked_fill(lse == -std::numeric_limits<double>::infinity(), 0);
  const Tensor dot = (grad_out.to(lse.scalar_type()) * out).sum(-1).transpose(-1, -2);
  Tensor gradient = (sinks - seen).exp().mul_(dot).neg_().sum(-1);
  if (gradient.dim() == 2) gradient = gradient.sum(0);
  return gradient.to(options.sinks->scalar_type());
}

}  // namespace zeta::ops
