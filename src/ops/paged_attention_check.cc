// Argument checks of zeta::paged_attention: shapes for all devices, and the values of lengths and table.
#include <ATen/ATen.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/paged_attention.h"

namespace zeta::ops {
namespace {

using at::Tensor;

void check_same(const Tensor& t, const char* name, const PagedAttention& a, at::ScalarType type) {
  TORCH_CHECK_TYPE(t.scalar_type() == type, "paged_attention: expected ", name, " of ", type, ", got ",
                   t.scalar_type());
  TORCH_CHECK(t.device() == a.q.device(), "paged_attention: expected ", name, " on q's device ", a.q.device(),
              ", got ", t.device());
}

void check_shape(const Tensor& t, const char* name, c10::SymIntArrayRef shape) {
  TORCH_CHECK_VALUE(t.sym_sizes() == shape, "paged_attention: expected ", name, " of shape ", shape, ", got ",
                    t.sym_sizes());
}

void check_caches(const PagedAttention& a) {
  for (const auto& [t, name] : {std::pair(a.k_cache, "k_cache"), std::pair(a.v_cache, "v_cache")}) {
    TORCH_CHECK_VALUE(t.dim() == 4, "paged_attention: expected ", name,
                      " of shape (num_pages, page_size, num_kv_heads, dim), got ", t.sym_sizes());
    check_same(t, name, a, a.float8() ? at::kFloat8_e4m3fn : a.q.scalar_type());
    TORCH_CHECK_VALUE(t.sym_stride(3) == 1 || t.sym_size(3) == 1, "paged_attention: expected ", name,
                      " with a contiguous last dimension, got strides ", t.sym_strides());
  }
  TORCH_CHECK_VALUE(a.k_cache.sym_size(1) > 0, "paged_attention: expected page_size ≥ 1, got 0");
  check_shape(a.v_cache, "v_cache",
              {a.k_cache.sym_size(0), a.k_cache.sym_size(1), a.k_cache.sym_size(2), a.v_cache.sym_size(3)});
}

void check_descales(const PagedAttention& a) {
  TORCH_CHECK_TYPE(!a.float8() || a.q.scalar_type() != at::kDouble,
                   "paged_attention: expected a cache of q's dtype Double, got Float8_e4m3fn");
  const c10::SymInt batch = a.seq_lens.sym_size(0), heads = a.k_cache.sym_size(2);
  for (const auto& [t, name] : {std::pair(a.k_descale, "k_descale"), std::pair(a.v_descale, "v_descale")}) {
    if (!t) continue;
    TORCH_CHECK_VALUE(a.float8(), "paged_attention: expected ", name,
                      " only with a cache of Float8_e4m3fn, got ", a.k_cache.scalar_type());
    check_same(*t, name, a, at::kFloat);
    const int64_t dims = t->dim();
    const bool fits = dims <= 2 && (dims < 1 || t->sym_size(-1) == 1 || t->sym_size(-1) == heads) &&
                      (dims < 2 || t->sym_size(0) == 1 || t->sym_size(0) == batch);
    TORCH_CHECK_VALUE(fits, "paged_attention: expected ", name,
                      " that broadcasts to (batch, num_kv_heads) = [", batch, ", ", heads, "], got ",
                      t->sym_sizes());
  }
}

void check_new(const PagedAttention& a) {
  TORCH_CHECK_VALUE(a.k_new.has_value() == a.v_new.has_value(),
                    "paged_attention: expected both k_new and v_new, or neither");
  if (!a.k_new) return;
  for (const auto& [t, name, cache] :
       {std::tuple(*a.k_new, "k_new", a.k_cache), std::tuple(*a.v_new, "v_new", a.v_cache)}) {
    check_same(t, name, a, a.q.scalar_type());
    std::vector<c10::SymInt> shape = a.q.sym_sizes().vec();
    shape[shape.size() - 2] = cache.sym_size(2);
    shape[shape.size() - 1] = cache.sym_size(3);
    check_shape(t, name, shape);
  }
}

void check_rotary(const PagedAttention& a) {
  TORCH_CHECK_VALUE(a.rotary_cos.has_value() == a.rotary_sin.has_value(),
                    "paged_attention: expected both rotary_cos and rotary_sin, or neither");
  if (!a.rotary_cos) return;
  for (const auto& [t, name] :
       {std::pair(*a.rotary_cos, "rotary_cos"), std::pair(*a.rotary_sin, "rotary_sin")}) {
    TORCH_CHECK_TYPE(t.scalar_type() == a.q.scalar_type() || t.scalar_type() == attention_compute_type(a.q),
                     "paged_attention: expected ", name, " of q's dtype ", a.q.scalar_type(), " or of ",
                     attention_compute_type(a.q), ", got ", t.scalar_type());
    check_same(t, name, a, t.scalar_type());
    TORCH_CHECK_VALUE(t.dim() == 2 && t.sym_size(1) * 2 <= a.q.sym_size(-1), "paged_attention: expected ",
                      name, " of shape (positions, ≤ head_dim / 2 = ", a.q.sym_size(-1) / 2, "), got ",
                      t.sym_sizes());
  }
  check_shape(*a.rotary_sin, "rotary_sin", a.rotary_cos->sym_sizes());
}

}  // namespace

void check_paged_attention(const PagedAttention& a) {
  const bool packed = a.cu_seqlens_q.has_value();
  TORCH_CHECK_VALUE(a.q.dim() == (packed ? 3 : 4), "paged_attention: expected q of shape ",
                    packed ? "(total_q, num_heads, head_dim), since there is cu_seqlens_q"
                           : "(batch, seq_q, num_heads, head_dim)",
                    ", got ", a.q.sym_sizes());
  check_caches(a);
  const Tensor q = packed ? a.q.unsqueeze(0) : a.q;
  check_same(a.block_table, "block_table", a, at::kInt);
  check_same(a.seq_lens, "seq_lens", a, at::kInt);
  TORCH_CHECK_VALUE(a.block_table.dim() == 2,
                    "paged_attention: expected block_table of shape (batch, max_pages), got ",
                    a.block_table.sym_sizes());
  const c10::SymInt batch = packed ? a.block_table.sym_size(0) : a.q.sym_size(0);
  check_shape(a.block_table, "block_table", {batch, a.block_table.sym_size(1)});
  check_shape(a.seq_lens, "seq_lens", {batch});
  if (packed) {
    check_same(*a.cu_seqlens_q, "cu_seqlens_q", a, at::kInt);
    check_shape(*a.cu_seqlens_q, "cu_seqlens_q", {batch + 1});
  }
  TORCH_CHECK_VALUE(a.k_cache.sym_size(3) == q.sym_size(3),
                    "paged_attention: expected k_cache of q's head_dim ", q.sym_size(3), ", got ",
                    a.k_cache.sym_size(3));
  check_attention_type(q);
  check_attention_heads(q, a.k_cache, a.v_cache);
  check_descales(a);
  check_new(a);
  check_rotary(a);
  check_attention_options(q, a.k_cache, a.options, batch);
}

PagedLayout read_paged_layout(const PagedAttention& a) {
  PagedLayout layout{{}, a.block_table.cpu().contiguous()};
  const Tensor lens = a.seq_lens.cpu().contiguous();
  const Tensor starts = a.cu_seqlens_q ? a.cu_seqlens_q->cpu().contiguous() : Tensor();
  const int64_t batch = lens.numel(), page_size = a.k_cache.size(1), num_pages = a.k_cache.size(0);
  const int64_t max_pages = layout.block_table.size(1);
  const int32_t *len = lens.const_data_ptr<int32_t>(), *table = layout.block_table.const_data_ptr<int32_t>();
  const int32_t* start = starts.defined() ? starts.const_data_ptr<int32_t>() : nullptr;
  if (start != nullptr) {
    TORCH_CHECK_VALUE(start[0] == 0, "paged_attention: expected cu_seqlens_q[0] = 0, got ", start[0]);
    TORCH_CHECK_VALUE(start[batch] == a.q.size(0), "paged_attention: expected cu_seqlens_q that ends at ",
                      a.q.size(0), ", got ", start[batch]);
  }
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t first = start != nullptr ? start[b] : b * a.q.size(1);
    const int64_t seq_q = start != nullptr ? start[b + 1] - first : a.q.size(1);
    TORCH_CHECK_VALUE(seq_q >= 0, "paged_attention: expected cu_seqlens_q that never falls, got ", first,
                      " before ", first + seq_q, " at ", b);
    TORCH_CHECK_VALUE(len[b] >= 0, "paged_attention: expected seq_lens ≥ 0, got ", len[b], " at ", b);
    const int64_t seq_k = len[b] + (a.k_new ? seq_q : 0);
    TORCH_CHECK_VALUE(seq_k <= max_pages * page_size,
                      "paged_attention: expected at most max_pages · page_size = ", max_pages * page_size,
                      " keys, got ", seq_k, " of sequence ", b);
    for (int64_t i = 0; i * page_size < seq_k; ++i) {
      const int32_t page = table[b * max_pages + i];
      TORCH_CHECK_VALUE(page >= 0 && page < num_pages,
                        "paged_attention: expected pages 0 ≤ block_table < num_pages = ", num_pages, ", got ",
                        page, " at [", b, ", ", i, "]");
    }
    TORCH_CHECK_VALUE(!a.rotary_cos || seq_q == 0 || (seq_q <= seq_k && seq_k <= a.rotary_cos->size(0)),
                      "paged_attention: expected positions within rotary_cos, of ",
                      a.rotary_cos ? a.rotary_cos->size(0) : 0, ", got ", seq_k - seq_q, " to ", seq_k,
                      " of sequence ", b);
    layout.sequences.push_back({first, seq_q, seq_k});
  }
  return layout;
}

}  // namespace zeta::ops
