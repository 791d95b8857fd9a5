// zeta::paged_attention on devices without kernels of ours: each sequence's pages gathered, then the plain
// formula.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_formula.h"
#include "src/ops/paged_attention.h"

namespace zeta::ops {
namespace {

using at::Tensor;

// Pages of a cache, (pages, page_size, num_kv_heads, dim), as numbers.
Tensor read_pages(const Tensor& cache, const Tensor& pages, const std::optional<Tensor>& descale,
                  int64_t sequence) {
  if (cache.scalar_type() != at::kFloat8_e4m3fn) return cache.index_select(0, pages);
  const Tensor codes = cache.view(at::kByte).index_select(0, pages).view(at::kFloat8_e4m3fn);
  const Tensor numbers = codes.to(at::kFloat);
  if (!descale) return numbers;
  const Tensor factor =
      descale->dim() == 2 ? descale->select(0, descale->size(0) == 1 ? 0 : sequence) : *descale;
  return numbers * factor.unsqueeze(-1);
}

}  // namespace

std::tuple<Tensor, Tensor> paged_attention_aten(const PagedAttention& a) {
  check_paged_attention(a);
  const PagedLayout layout = read_paged_layout(a);
  const Tensor q = prepare_paged_queries(a, layout);
  const int64_t page_size = a.k_cache.size(1);
  const Tensor out = at::empty({q.size(0), q.size(1), a.v_cache.size(3)}, q.options());
  const Tensor lse = at::empty({q.size(1), q.size(0)}, q.options().dtype(attention_compute_type(q)));
  for (int64_t b = 0; b < static_cast<int64_t>(layout.sequences.size()); ++b) {
    const PagedSequence& s = layout.sequences[static_cast<size_t>(b)];
    const Tensor pages = a.block_table.select(0, b).narrow(0, 0, (s.seq_k + page_size - 1) / page_size);
    const auto keys = [&](const Tensor& cache, const std::optional<Tensor>& descale) {
      return read_pages(cache, pages, descale, b).flatten(0, 1).narrow(0, 0, s.seq_k).unsqueeze(0);
    };
    const Tensor rows = q.narrow(0, s.first_query, s.seq_q).unsqueeze(0);
    AttentionOptions options = a.options;
    if (options.alibi_slopes && options.alibi_slopes->dim() == 2)
      options.alibi_slopes = options.alibi_slopes->narrow(0, b, 1);
    const auto [o, l] = formula_forward({a.float8() ? rows.to(at::kFloat) : rows,
                                         keys(a.k_cache, a.k_descale),
                                         keys(a.v_cache, a.v_descale),
                                         {},
                                         a.softmax_scale,
                                         a.causal,
                                         options},
                                        q.scalar_type());
    out.narrow(0, s.first_query, s.seq_q).copy_(o.squeeze(0));
    lse.narrow(1, s.first_query, s.seq_q).copy_(l.squeeze(0));
  }
  return unpack_paged_result(a, out, lse);
}

}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("paged_attention", zeta::ops::flat_paged<zeta::ops::paged_attention_aten>);
}
