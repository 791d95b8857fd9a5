// The flash_attention ops on devices without kernels of ours: torch's flash kernel where it computes the
// same, else the plain formula over blocks of queries, so that memory stays linear in seq_k.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <array>
#include <limits>

#include "src/ops/flash_attention_check.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kScoresAtOnce = int64_t{1} << 26;

// (batch, seq, heads, dim) → (batch, heads, seq, dim), copied where torch's kernel, which loads 16 bytes at a
// time and does not look first, could not read it.
Tensor torch_operand(const Tensor& t) {
  constexpr uintptr_t kBytes = 16;
  bool readable = t.stride(3) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % kBytes == 0;
  for (int64_t d = 0; d < 3; ++d)
    readable = readable && static_cast<uintptr_t>(t.stride(d)) * t.element_size() % kBytes == 0;
  return (readable ? t : t.clone(at::MemoryFormat::Contiguous)).transpose(1, 2);
}

// q, k and v as torch's flash kernel takes them, or none where it does not compute the same. It aligns
// causality top-left, which is ours only where both sequences are as long. torch's own choice then knows the
// GPU's generation, the dtypes and dimensions that it can do, and what the user has switched off; where it
// prefers cuDNN, as on Hopper, its flash kernel can do the same.
std::optional<std::array<Tensor, 3>> torch_flash_operands(const Tensor& q, const Tensor& k, const Tensor& v,
                                                          const OptionalTensor& mask, double scale,
                                                          bool causal) {
  if (!q.is_cuda() || mask || q.numel() == 0 || k.numel() == 0 || (causal && q.size(1) != k.size(1)))
    return {};
  if (!at::isReducedFloatingType(q.scalar_type()) || q.size(3) != v.size(3) || q.size(3) % 8 != 0) return {};
  std::array<Tensor, 3> operands = {torch_operand(q), torch_operand(k), torch_operand(v)};
  const auto choice = static_cast<at::SDPBackend>(at::_fused_sdp_choice(
      operands[0], operands[1], operands[2], {}, 0, causal, scale, q.size(2) != k.size(2)));
  const bool flash = choice == at::SDPBackend::flash_attention ||
                     (choice == at::SDPBackend::cudnn_attention && at::globalContext().userEnabledFlashSDP());
  return flash ? std::optional(operands) : std::nullopt;
}

std::tuple<Tensor, Tensor> torch_flash_forward(const std::array<Tensor, 3>& operands, double scale,
                                               bool causal) {
  const auto& [q, k, v] = operands;
  const auto results = at::_scaled_dot_product_flash_attention(q, k, v, 0, causal, false, scale);
  return {std::get<0>(results).transpose(1, 2).contiguous(), std::get<1>(results).contiguous()};
}

std::tuple<Tensor, Tensor, Tensor> torch_flash_backward(const Tensor& grad_out,
                                                        const std::array<Tensor, 3>& operands,
                                                        const Tensor& out, const Tensor& lse, double scale,
                                                        bool causal) {
  const auto& [q, k, v] = operands;
  const Tensor no_lengths, seed = at::zeros({2}, q.options().dtype(at::kUInt64)),
                           offset = at::zeros({}, q.options().dtype(at::kUInt64));
  const auto [grad_q, grad_k, grad_v] = at::_scaled_dot_product_flash_attention_backward(
      torch_operand(grad_out), q, k, v, torch_operand(out), lse.contiguous(), no_lengths, no_lengths,
      q.size(2), k.size(2), 0, causal, seed, offset, scale);
  return {grad_q.transpose(1, 2).contiguous(), grad_k.transpose(1, 2).contiguous(),
          grad_v.transpose(1, 2).contiguous()};
}

// Queries as (batch, kv head, position, group · head_dim → group, head_dim); what belongs to keys as (batch,
// kv head, 1, seq_k, dim), both in the computing type.
struct Formula {
  Formula(const Tensor& q_, const Tensor& k_, const Tensor& v_, const OptionalTensor& mask_, double scale_,
          bool causal_)
      : k(keys(k_)), v(keys(v_)), scale(scale_), causal(causal_), kv_heads(k_.size(2)) {
    q = queries(q_);
    if (mask_)
      mask = mask_->expand({q_.size(0), q_.size(2), q_.size(1), k_.size(1)})
                 .unflatten(1, {kv_heads, q_.size(2) / kv_heads});
  }

  // (batch, seq, heads, dim) → (batch, kv head, group, seq, dim)
  Tensor queries(const Tensor& t) const {
    return t.transpose(1, 2).unflatten(1, {kv_heads, t.size(2) / kv_heads}).to(attention_compute_type(t));
  }
  // (batch, seq, kv head, dim) → (batch, kv head, 1, seq, dim)
  static Tensor keys(const Tensor& t) { return t.transpose(1, 2).unsqueeze(2).to(attention_compute_type(t)); }

  int64_t block_size() const {
    const int64_t row = q.size(0) * q.size(1) * q.size(2) * k.size(3);
    return std::max<int64_t>(1, kScoresAtOnce / std::max<int64_t>(row, 1));
  }

  Tensor scores(int64_t first, int64_t count) const {
    Tensor s = at::matmul(q.narrow(3, first, count) * scale, k.transpose(3, 4));
    const double never = -std::numeric_limits<double>::infinity();
    if (causal) {
      const auto indices = q.options().dtype(at::kLong);
      const Tensor last = at::arange(first, first + count, indices).unsqueeze(1) + (k.size(3) - q.size(3));
      s.masked_fill_(at::arange(k.size(3), indices) > last, never);
    }
    if (mask.defined()) s.masked_fill_(mask.narrow(3, first, count).logical_not(), never);
    return s;
  }

  // Rows that may attend nothing have an lse of -inf; subtracting 0 leaves their scores at -inf.
  static Tensor probabilities(const Tensor& scores, const Tensor& lse) {
    return (scores - lse.masked_fill(lse == -std::numeric_limits<double>::infinity(), 0).unsqueeze(-1)).exp();
  }

  Tensor q, k, v, mask;
  double scale;
  bool causal;
  int64_t kv_heads;
};

std::tuple<Tensor, Tensor> forward_aten(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const OptionalTensor& mask, double scale, bool causal) {
  check_attention_inputs(q, k, v, mask);
  if (const auto operands = torch_flash_operands(q, k, v, mask, scale, causal))
    return torch_flash_forward(*operands, scale, causal);
  const Formula f(q, k, v, mask, scale, causal);
  const Tensor out = at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, q.options());
  const Tensor lse =
      at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(attention_compute_type(q)));
  for (int64_t first = 0; first < q.size(1); first += f.block_size()) {
    const int64_t count = std::min(f.block_size(), q.size(1) - first);
    const Tensor scores = f.scores(first, count), row_lse = at::logsumexp(scores, -1);
    const Tensor rows = at::matmul(Formula::probabilities(scores, row_lse), f.v);
    out.narrow(1, first, count).copy_(rows.flatten(1, 2).transpose(1, 2));
    lse.narrow(2, first, count).copy_(row_lse.flatten(1, 2));
  }
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> backward_aten(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                 const Tensor& v, const Tensor& out, const Tensor& lse,
                                                 const OptionalTensor& mask, double scale, bool causal) {
  check_attention_inputs(q, k, v, mask);
  check_attention_gradient(grad_out, q, v, out, lse);
  if (const auto operands = torch_flash_operands(q, k, v, mask, scale, causal))
    return torch_flash_backward(grad_out, *operands, out, lse, scale, causal);
  const Formula f(q, k, v, mask, scale, causal);
  const Tensor grad = f.queries(grad_out), dot = (grad * f.queries(out)).sum(-1, true);
  const Tensor row_lse = lse.unflatten(1, {f.kv_heads, q.size(2) / f.kv_heads});
  const Tensor grad_q = at::empty(q.sizes(), q.options()), grad_k = at::zeros_like(f.k),
               grad_v = at::zeros_like(f.v);
  for (int64_t first = 0; first < q.size(1); first += f.block_size()) {
    const int64_t count = std::min(f.block_size(), q.size(1) - first);
    const Tensor rows = grad.narrow(3, first, count);
    const Tensor p = Formula::probabilities(f.scores(first, count), row_lse.narrow(3, first, count));
    const Tensor ds = p * (at::matmul(rows, f.v.transpose(3, 4)) - dot.narrow(3, first, count)) * scale;
    grad_q.narrow(1, first, count).copy_(at::matmul(ds, f.k).flatten(1, 2).transpose(1, 2));
    grad_k.add_(at::matmul(ds.transpose(3, 4), f.q.narrow(3, first, count)).sum(2, true));
    grad_v.add_(at::matmul(p.transpose(3, 4), rows).sum(2, true));
  }
  const auto finish = [&](const Tensor& t) {
    return t.squeeze(2).transpose(1, 2).to(q.scalar_type()).contiguous();
  };
  return {grad_q, finish(grad_k), finish(grad_v)};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("flash_attention_forward", zeta::ops::forward_aten);
  m.impl("flash_attention_backward", zeta::ops::backward_aten);
}
