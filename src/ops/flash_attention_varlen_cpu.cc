#include <ATen/ATen.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_operands.h"
#include "src/ops/flash_attention_varlen.h"

namespace zeta::ops {
namespace {

using at::Tensor;

// One sequence as a batch of its own.
cpu::AttentionInputs alone(cpu::AttentionInputs in, const PackedSequence& s, int64_t index,
                           int64_t element_size) {
  in.shape.seq_q = s.seq_q;
  in.shape.seq_k = s.seq_k;
  in.q = rows_from(in.q, s.first_query, element_size);
  in.k = rows_from(in.k, s.first_key, element_size);
  in.v = rows_from(in.v, s.first_key, element_size);
  if (in.alibi.data != nullptr) in.alibi.data += index * in.alibi.batch_stride;
  in.dropout.first_head = index * in.shape.num_heads;
  return in;
}

std::tuple<Tensor, Tensor> forward_cpu(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const PackedLengths& lengths, double softmax_scale, bool causal,
                                       const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  const auto sequences = packed_sequences(q, k, lengths);
  const auto count = static_cast<int64_t>(sequences.size());
  const AttentionOperands operands(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), {}, softmax_scale, causal,
                                   options, count);
  const Tensor out = at::empty({q.size(0), q.size(1), v.size(2)}, q.options());
  const Tensor lse = at::empty({q.size(1), q.size(0)}, q.options().dtype(attention_compute_type(q)));
  std::vector<cpu::AttentionForward> calls;
  for (int64_t i = 0; i < count; ++i) {
    const PackedSequence& s = sequences[static_cast<size_t>(i)];
    calls.push_back({alone(operands.inputs, s, i, q.element_size()),
                     rows_from(attention_view(out.unsqueeze(0)), s.first_query, out.element_size()),
                     rows_from(row_view(lse.unsqueeze(0)), s.first_query, lse.element_size())});
  }
  attention_parallel(calls, cpu::attention_forward_items, [](const auto& call, int64_t begin, int64_t end) {
    cpu::attention_forward(call, begin, end);
  });
  return {out, lse};
}

PackedGradients backward_cpu(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                             const Tensor& out, const Tensor& lse, const PackedLengths& lengths,
                             double softmax_scale, bool causal, const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  check_packed_gradient(grad_out, q, v, out, lse);
  const auto sequences = packed_sequences(q, k, lengths);
  const auto count = static_cast<int64_t>(sequences.size());
  const AttentionOperands operands(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), {}, softmax_scale, causal,
                                   options, count);
  const Tensor grad = readable(grad_out), result = readable(out), row_lse = lse.contiguous();
  const Tensor grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(k.sizes(), k.options()),
               grad_v = at::empty(v.sizes(), v.options());
  std::vector<cpu::AttentionBackward> calls;
  std::vector<int64_t> partials_at = {0};
  for (int64_t i = 0; i < count; ++i) {
    const PackedSequence& s = sequences[static_cast<size_t>(i)];
    const auto queries = [&](const Tensor& t) {
      return rows_from(attention_view(t.unsqueeze(0)), s.first_query, t.element_size());
    };
    const auto keys = [&](const Tensor& t) {
      return rows_from(attention_view(t.unsqueeze(0)), s.first_key, t.element_size());
    };
    calls.push_back({alone(operands.inputs, s, i, q.element_size()), queries(result), queries(grad),
                     rows_from(row_view(row_lse.unsqueeze(0)), s.first_query, row_lse.element_size()),
                     queries(grad_q), keys(grad_k), keys(grad_v), nullptr});
    partials_at.push_back(partials_at.back() + cpu::attention_backward_partials(calls.back().inputs.shape));
  }
  const Tensor partials = at::zeros({partials_at.back()}, lse.options());
  for (size_t i = 0; i < calls.size(); ++i)
    calls[i].partials =
        static_cast<std::byte*>(partials.data_ptr()) + partials_at[i] * partials.element_size();
  attention_parallel(calls, cpu::attention_backward_items, [](const auto& call, int64_t begin, int64_t end) {
    cpu::attention_backward(call, begin, end);
  });
  attention_parallel(
      calls, cpu::attention_backward_reduce_items,
      [](const auto& call, int64_t begin, int64_t end) { cpu::attention_backward_reduce(call, begin, end); });
  return {grad_q, grad_k, grad_v, sink_gradient(grad_out, out, lse, options)};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) {
  m.impl("flash_attention_varlen_forward", zeta::ops::flat_varlen_forward<zeta::ops::forward_cpu>);
  m.impl("flash_attention_varlen_backward", zeta::ops::flat_varlen_backward<zeta::ops::backward_cpu>);
}
