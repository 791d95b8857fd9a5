// What zeta::paged_attention does around attention: rotation, the cache's new rows, and packing.
#include <ATen/ATen.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/paged_attention.h"

namespace zeta::ops {
namespace {

using at::Tensor;

Tensor packed(const Tensor& t) { return t.dim() == 4 ? t.flatten(0, 1) : t; }

// For every row of q as packed: its position, and the page and row of the cache where its key goes.
struct Rows {
  Tensor position, page, row, sequence;
};

Rows rows(const PagedAttention& a, const PagedLayout& layout) {
  const int64_t page_size = a.k_cache.size(1), max_pages = layout.block_table.size(1);
  const int32_t* table = layout.block_table.const_data_ptr<int32_t>();
  std::vector<int64_t> position, page, row, sequence;
  for (size_t b = 0; b < layout.sequences.size(); ++b) {
    const PagedSequence& s = layout.sequences[b];
    for (int64_t p = s.seq_k - s.seq_q; p < s.seq_k; ++p) {
      position.push_back(p);
      if (!a.k_new) continue;
      page.push_back(table[static_cast<int64_t>(b) * max_pages + p / page_size]);
      row.push_back(p % page_size);
      sequence.push_back(static_cast<int64_t>(b));
    }
  }
  const auto move = [&](const std::vector<int64_t>& x) { return at::tensor(x, at::kLong).to(a.q.device()); };
  return {move(position), move(page), move(row), move(sequence)};
}

// (rows, heads, head_dim) by positions (rows).
Tensor rotate(const PagedAttention& a, const Tensor& t, const Tensor& position) {
  if (!a.rotary_cos) return t;
  const auto type = attention_compute_type(t);
  const int64_t half = a.rotary_cos->size(1);
  const auto angles = [&](const Tensor& x) { return x.to(type).index_select(0, position).unsqueeze(1); };
  const Tensor cos = angles(*a.rotary_cos), sin = angles(*a.rotary_sin),
               turned = t.narrow(2, 0, 2 * half).to(type);
  const Tensor pairs =
      a.rotary_interleaved ? turned.unflatten(2, {half, 2}) : turned.unflatten(2, {2, half}).transpose(2, 3);
  const Tensor x = pairs.select(3, 0), y = pairs.select(3, 1);
  const Tensor both = at::stack({x * cos - y * sin, y * cos + x * sin}, 3);
  const Tensor result = (a.rotary_interleaved ? both : both.transpose(2, 3)).flatten(2).to(t.scalar_type());
  return at::cat({result, t.narrow(2, 2 * half, t.size(2) - 2 * half)}, 2);
}

// Rows (total, num_kv_heads, dim) to where they belong in a cache.
void write_rows(Tensor cache, const Tensor& values, const std::optional<Tensor>& descale, const Rows& r) {
  if (cache.scalar_type() != at::kFloat8_e4m3fn) {
    cache.index_put_({r.page, r.row}, values);
    return;
  }
  Tensor scaled = values.to(at::kFloat);
  if (descale) {
    const bool each = descale->dim() == 2 && descale->size(0) > 1;
    const Tensor factor = each ? descale->index_select(0, r.sequence) : *descale;
    scaled = scaled / factor.unsqueeze(-1);
  }
  constexpr double kLargest = 448;
  const Tensor codes = scaled.clamp(-kLargest, kLargest).to(at::kFloat8_e4m3fn);
  cache.view(at::kByte).index_put_({r.page, r.row}, codes.view(at::kByte));
}

}  // namespace

Tensor prepare_paged_queries(const PagedAttention& a, const PagedLayout& layout) {
  const Tensor q = packed(a.q);
  if (!a.k_new && !a.rotary_cos) return q;
  const Rows r = rows(a, layout);
  if (a.k_new) {
    write_rows(a.k_cache, rotate(a, packed(*a.k_new), r.position), a.k_descale, r);
    write_rows(a.v_cache, packed(*a.v_new), a.v_descale, r);
  }
  return rotate(a, q, r.position);
}

std::tuple<Tensor, Tensor> unpack_paged_result(const PagedAttention& a, const Tensor& out,
                                               const Tensor& lse) {
  if (a.q.dim() == 3) return {out, lse};
  const int64_t batch = a.q.size(0), seq_q = a.q.size(1);
  return {out.unflatten(0, {batch, seq_q}), lse.unflatten(1, {batch, seq_q}).transpose(0, 1).contiguous()};
}

}  // namespace zeta::ops
