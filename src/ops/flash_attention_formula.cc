#include "src/ops/flash_attention_formula.h"

#include <limits>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_dropout.h"

namespace zeta::ops {
namespace {

using at::Tensor;

constexpr int64_t kScoresAtOnce = int64_t{1} << 26;
constexpr double kNever = -std::numeric_limits<double>::infinity();

// (batch, seq, kv head, dim) → (batch, kv head, 1, seq, dim)
Tensor keys(const Tensor& t) { return t.transpose(1, 2).unsqueeze(2).to(attention_compute_type(t)); }

// The bias's gradient is that of the expanded bias, summed over what was expanded.
void add_bias_gradient(const Tensor& ds, int64_t first, Tensor& gradient) {
  const Tensor heads = ds.flatten(1, 2);
  std::vector<int64_t> reduced;
  for (int64_t d = 0; d < 4; ++d)
    if (gradient.size(d) == 1 && heads.size(d) != 1) reduced.push_back(d);
  const Tensor sum = reduced.empty() ? heads : heads.sum(reduced, true);
  (gradient.size(2) == 1 ? gradient : gradient.narrow(2, first, sum.size(2))).add_(sum);
}

}  // namespace

AttentionFormula::AttentionFormula(const Tensor& q_, const Tensor& k_, const Tensor& v_,
                                   const std::optional<Tensor>& mask_, double softmax_scale, bool causal,
                                   const AttentionOptions& options_)
    : k(keys(k_)),
      v(keys(v_)),
      scale(softmax_scale),
      kv_heads(k_.size(2)),
      window_left(options_.window_left.expect_int()),
      window_right(options_.window_right.expect_int()),
      options(options_) {
  q = queries(q_);
  if (causal) window_right = 0;
  const int64_t full[] = {q_.size(0), q_.size(2), q_.size(1), k_.size(1)};
  const auto type = attention_compute_type(q_);
  if (mask_) mask = grouped(mask_->expand(full));
  if (options.bias) bias = grouped(options.bias->expand(full));
  if (options.alibi_slopes)
    alibi_slopes =
        grouped(options.alibi_slopes->expand({full[0], full[1]}).to(type)).unsqueeze(-1).unsqueeze(-1);
  if (options.sinks) sinks = grouped(options.sinks->to(type).unsqueeze(0)).unsqueeze(-1);
}

Tensor AttentionFormula::queries(const Tensor& t) const {
  return grouped(t.transpose(1, 2)).to(attention_compute_type(t));
}

int64_t AttentionFormula::block_size() const {
  const int64_t row = q.size(0) * q.size(1) * q.size(2) * k.size(3);
  return std::max<int64_t>(1, kScoresAtOnce / std::max<int64_t>(row, 1));
}

AttentionFormula::Scores AttentionFormula::scores(int64_t first, int64_t count) const {
  Tensor s = at::matmul(q.narrow(3, first, count) * scale, k.transpose(3, 4)), slopes;
  if (options.softcap > 0) {
    const Tensor t = s.div_(options.softcap).tanh_();
    slopes = 1 - t * t;
    s = t * options.softcap;
  }
  if (bias.defined()) s.add_(bias.narrow(3, first, count));
  if (alibi_slopes.defined() || window_left >= 0 || window_right >= 0) {
    const auto indices = q.options().dtype(at::kLong);
    const Tensor diagonal = at::arange(first, first + count, indices).unsqueeze(1) + (k.size(3) - q.size(3));
    const Tensor distance = at::arange(k.size(3), indices) - diagonal;
    if (alibi_slopes.defined()) s.sub_(alibi_slopes * distance.abs());
    if (window_left >= 0) s.masked_fill_(distance < -window_left, kNever);
    if (window_right >= 0) s.masked_fill_(distance > window_right, kNever);
  }
  if (mask.defined()) s.masked_fill_(mask.narrow(3, first, count).logical_not(), kNever);
  return {s, slopes};
}

Tensor AttentionFormula::dropout(int64_t first, int64_t count) const {
  if (options.dropout_p == 0) return {};
  return grouped(attention_dropout_factors(*options.rng_state, options.dropout_p, q.size(0),
                                           q.size(1) * q.size(2), first_head, first, count, k.size(3),
                                           q.scalar_type()));
}

Tensor AttentionFormula::probabilities(const Tensor& scores, const Tensor& lse) {
  // Rows that may attend nothing have an lse of -inf; subtracting 0 leaves their scores at -inf.
  return (scores - lse.masked_fill(lse == kNever, 0).unsqueeze(-1)).exp();
}

std::tuple<Tensor, Tensor> formula_forward(const AttentionFormula& f, at::ScalarType type) {
  const int64_t batch = f.q.size(0), heads = f.q.size(1) * f.q.size(2), seq_q = f.q.size(3);
  const Tensor out = at::empty({batch, seq_q, heads, f.v.size(4)}, f.q.options().dtype(type));
  const Tensor lse = at::empty({batch, heads, seq_q}, f.q.options());
  for (int64_t first = 0; first < seq_q; first += f.block_size()) {
    const int64_t count = std::min(f.block_size(), seq_q - first);
    const Tensor scores = f.scores(first, count).values;
    Tensor row_lse = at::logsumexp(scores, -1);
    if (f.sinks.defined()) row_lse = at::logaddexp(row_lse, f.sinks);
    Tensor p = AttentionFormula::probabilities(scores, row_lse);
    if (const Tensor factors = f.dropout(first, count); factors.defined()) p.mul_(factors);
    out.narrow(1, first, count).copy_(at::matmul(p, f.v).flatten(1, 2).transpose(1, 2));
    lse.narrow(2, first, count).copy_(row_lse.flatten(1, 2));
  }
  return {out, lse};
}

AttentionGradients formula_backward(const AttentionFormula& f, const Tensor& grad_out, const Tensor& out,
                                    const Tensor& lse, bool bias_grad) {
  const int64_t seq_q = f.q.size(3);
  const Tensor grad = f.queries(grad_out), dot = (grad * f.queries(out)).sum(-1, true),
               row_lse = f.grouped(lse);
  const Tensor grad_q = at::empty_like(f.q), grad_k = at::zeros_like(f.k), grad_v = at::zeros_like(f.v);
  Tensor grad_bias = empty_bias_gradient(out, f.options, bias_grad), bias_sum;
  if (grad_bias.numel() > 0) {
    bias_sum = at::zeros(grad_bias.sizes(), lse.options());
    while (bias_sum.dim() < 4) bias_sum = bias_sum.unsqueeze(0);
  }
  for (int64_t first = 0; first < seq_q; first += f.block_size()) {
    const int64_t count = std::min(f.block_size(), seq_q - first);
    const Tensor rows = grad.narrow(3, first, count);
    const auto scores = f.scores(first, count);
    const Tensor p = AttentionFormula::probabilities(scores.values, row_lse.narrow(3, first, count));
    Tensor dp = at::matmul(rows, f.v.transpose(3, 4)), dropped = p;
    if (const Tensor factors = f.dropout(first, count); factors.defined()) {
      dp.mul_(factors);
      dropped = p * factors;
    }
    Tensor ds = dp.sub_(dot.narrow(3, first, count)).mul_(p);
    if (bias_sum.defined()) add_bias_gradient(ds, first, bias_sum);
    if (scores.slopes.defined()) ds = ds * scores.slopes;
    ds = ds * f.scale;
    grad_q.narrow(3, first, count).copy_(at::matmul(ds, f.k));
    grad_k.add_(at::matmul(ds.transpose(3, 4), f.q.narrow(3, first, count)).sum(2, true));
    grad_v.add_(at::matmul(dropped.transpose(3, 4), rows).sum(2, true));
  }
  const auto finish = [&](const Tensor& t) {
    return t.flatten(1, 2).transpose(1, 2).to(out.scalar_type()).contiguous();
  };
  if (bias_sum.defined()) grad_bias.copy_(bias_sum.view(grad_bias.sizes()));
  return {finish(grad_q), finish(grad_k), finish(grad_v), grad_bias,
          sink_gradient(grad_out, out, lse, f.options)};
}

}  // namespace zeta::ops
