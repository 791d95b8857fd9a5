// The flash_attention_varlen ops on devices without kernels of ours: the plain formula, a sequence at a time.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "src/ops/flash_attention_aten.h"
#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_formula.h"
#include "src/ops/flash_attention_varlen.h"

namespace zeta::ops {
namespace {

using at::Tensor;

// One sequence of what is packed.
struct Sequence {
  AttentionFormula formula(const Tensor& q, const Tensor& k, const Tensor& v, double softmax_scale,
                           bool causal, AttentionOptions options) const {
    if (options.alibi_slopes && options.alibi_slopes->dim() == 2)
      options.alibi_slopes = options.alibi_slopes->narrow(0, index, 1);
    AttentionFormula f(queries(q), keys(k), keys(v), {}, softmax_scale, causal, options);
    f.first_head = index * q.size(1);
    return f;
  }
  Tensor queries(const Tensor& t) const { return t.narrow(0, s.first_query, s.seq_q).unsqueeze(0); }
  Tensor keys(const Tensor& t) const { return t.narrow(0, s.first_key, s.seq_k).unsqueeze(0); }
  Tensor rows(const Tensor& lse) const { return lse.narrow(1, s.first_query, s.seq_q).unsqueeze(0); }

  PackedSequence s;
  int64_t index;
};

std::vector<Sequence> read(const Tensor& q, const Tensor& k, const PackedLengths& lengths) {
  std::vector<Sequence> sequences;
  for (const PackedSequence& s : packed_sequences(q, k, lengths))
    sequences.push_back({s, static_cast<int64_t>(sequences.size())});
  return sequences;
}

}  // namespace

std::tuple<Tensor, Tensor> flash_attention_varlen_forward_aten(const Tensor& q, const Tensor& k,
                                                               const Tensor& v, const PackedLengths& lengths,
                                                               double softmax_scale, bool causal,
                                                               const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  const Tensor out = at::empty({q.size(0), q.size(1), v.size(2)}, q.options());
  const Tensor lse = at::empty({q.size(1), q.size(0)}, q.options().dtype(attention_compute_type(q)));
  for (const Sequence& s : read(q, k, lengths)) {
    const auto [o, l] = formula_forward(s.formula(q, k, v, softmax_scale, causal, options), q.scalar_type());
    s.queries(out).copy_(o);
    s.rows(lse).copy_(l);
  }
  return {out, lse};
}

PackedGradients flash_attention_varlen_backward_aten(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                     const Tensor& v, const Tensor& out, const Tensor& lse,
                                                     const PackedLengths& lengths, double softmax_scale,
                                                     bool causal, const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  check_packed_gradient(grad_out, q, v, out, lse);
  const Tensor grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(k.sizes(), k.options()),
               grad_v = at::empty(v.sizes(), v.options());
  for (const Sequence& s : read(q, k, lengths)) {
    const auto gradients = formula_backward(s.formula(q, k, v, softmax_scale, causal, options),
                                            s.queries(grad_out), s.queries(out), s.rows(lse), false);
    s.queries(grad_q).copy_(std::get<0>(gradients));
    s.keys(grad_k).copy_(std::get<1>(gradients));
    s.keys(grad_v).copy_(std::get<2>(gradients));
  }
  return {grad_q, grad_k, grad_v, sink_gradient(grad_out, out, lse, options)};
}

}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("flash_attention_varlen_forward",
         zeta::ops::flat_varlen_forward<zeta::ops::flash_attention_varlen_forward_aten>);
  m.impl("flash_attention_varlen_backward",
         zeta::ops::flat_varlen_backward<zeta::ops::flash_attention_varlen_backward_aten>);
}
