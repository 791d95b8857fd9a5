#include <ATen/ATen.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_operands.h"
#include "src/ops/paged_attention.h"

namespace zeta::ops {
namespace {

using at::Tensor;

std::tuple<Tensor, Tensor> forward_cpu(const PagedAttention& a) {
  if (a.float8()) return paged_attention_aten(a);
  check_paged_attention(a);
  const PagedLayout layout = read_paged_layout(a);
  const Tensor q = prepare_paged_queries(a, layout);
  const auto batch = static_cast<int64_t>(layout.sequences.size());
  // A page counts as a batch, whose stride the kernels multiply page numbers by.
  const AttentionOperands operands(q.unsqueeze(0), a.k_cache, a.v_cache, {}, a.softmax_scale, a.causal,
                                   a.options, batch);
  const Tensor out = at::empty({q.size(0), q.size(1), a.v_cache.size(3)}, q.options());
  const Tensor lse = at::empty({q.size(1), q.size(0)}, q.options().dtype(attention_compute_type(q)));
  const auto all_out = attention_view(out.unsqueeze(0));
  const auto all_lse = row_view(lse.unsqueeze(0));
  std::vector<cpu::AttentionForward> calls;
  for (int64_t b = 0; b < batch; ++b) {
    const PagedSequence& s = layout.sequences[static_cast<size_t>(b)];
    cpu::AttentionInputs in = operands.inputs;
    in.shape.seq_q = s.seq_q;
    in.shape.seq_k = s.seq_k;
    in.q = rows_from(in.q, s.first_query, q.element_size());
    in.pages = {layout.block_table.const_data_ptr<int32_t>() + b * layout.block_table.size(1),
                a.k_cache.size(1)};
    if (in.alibi.data != nullptr) in.alibi.data += b * in.alibi.batch_stride;
    calls.push_back({in, rows_from(all_out, s.first_query, out.element_size()),
                     rows_from(all_lse, s.first_query, lse.element_size())});
  }
  attention_parallel(calls, cpu::attention_forward_items, [](const auto& call, int64_t begin, int64_t end) {
    cpu::attention_forward(call, begin, end);
  });
  return unpack_paged_result(a, out, lse);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) { m.impl("paged_attention", zeta::ops::flat_paged<zeta::ops::forward_cpu>); }
