// zeta::paged_attention: attention of new queries to keys and values that lie in pages of a shared cache, for
// decoding and for prefill in chunks. New keys and values are appended first, in place.
//
//   q            (batch, seq_q, num_heads, head_dim), or with cu_seqlens_q packed
//                (total_q, num_heads, head_dim)
//   k_cache      (num_pages, page_size, num_kv_heads, head_dim), last dimension contiguous; of q's dtype or
//                float8_e4m3fn
//   v_cache      (num_pages, page_size, num_kv_heads, value_dim), of k_cache's dtype
//   block_table  int32 (batch, max_pages): key j of sequence b is row j % page_size of page
//                block_table[b][j / page_size]; entries beyond a sequence's keys are not looked at
//   seq_lens     int32 (batch): keys that the cache holds of each sequence before this call
//   k_new, v_new as q but num_kv_heads (and value_dim): written behind them. A page that is written belongs
//   to
//                one sequence; pages may be shared for reading
//   cu_seqlens_q int32 (batch + 1), as in flash_attention_varlen.h
//   rotary_cos, rotary_sin  (positions, rotary_dim / 2), of q's dtype or lse's: q and k_new are rotated by
//                their position, halves of the first rotary_dim dimensions or (interleaved) neighbours as
//                pairs
//   causal, options: as in flash_attention.h but for bias and dropout; the last query stands at the last key
//   k_descale, v_descale  float32, broadcastable to (batch, num_kv_heads), for a float8 cache: what is read
//   is
//                multiplied by them, what is written divided and then rounded to within ±448
//   out          as q with value_dim; lse (batch, num_heads, seq_q), packed (num_heads, total_q)
//
// Table, lengths and shapes are checked before anything is written or computed. On CUDA values are on the
// device: to check them is to wait for it, which neither happens while a graph is captured nor with validate
// = false. Then nothing outside the cache is read or written, and the results of such a sequence are NaN. Not
// differentiable.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

struct PagedAttention {
  at::Tensor q;
  at::Tensor k_cache;
  at::Tensor v_cache;
  at::Tensor block_table;
  at::Tensor seq_lens;
  std::optional<at::Tensor> k_new = {};
  std::optional<at::Tensor> v_new = {};
  std::optional<at::Tensor> cu_seqlens_q = {};
  std::optional<at::Tensor> rotary_cos = {};
  std::optional<at::Tensor> rotary_sin = {};
  bool rotary_interleaved = false;
  double softmax_scale;
  bool causal = true;
  AttentionOptions options = {};
  std::optional<at::Tensor> k_descale = {};
  std::optional<at::Tensor> v_descale = {};
  bool validate = true;

  bool float8() const { return k_cache.scalar_type() == at::kFloat8_e4m3fn; }
};

// Thread-safe but for the cache, which it writes.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> paged_attention(const PagedAttention& args);

// Throws c10::Error unless shapes, dtypes and devices are as above.
C10_EXPORT void check_paged_attention(const PagedAttention& args);

struct PagedSequence {
  int64_t first_query;  // in q as packed
  int64_t seq_q;
  int64_t seq_k;  // with what is appended
};

// The lengths and the table's values, copied to the host and checked.
struct PagedLayout {
  std::vector<PagedSequence> sequences;
  at::Tensor block_table;  // on the host, contiguous
};
C10_EXPORT PagedLayout read_paged_layout(const PagedAttention& args);

// By ATen alone: each sequence's pages gathered, then the plain formula.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> paged_attention_aten(const PagedAttention& args);

// q as packed; rotated where there are angles. Appends k_new, v_new to the cache.
at::Tensor prepare_paged_queries(const PagedAttention& args, const PagedLayout& layout);

// (total, …) back to (batch, seq_q, …) where q was so; lse likewise from (num_heads, total).
std::tuple<at::Tensor, at::Tensor> unpack_paged_result(const PagedAttention& args, const at::Tensor& out,
                                                       const at::Tensor& lse);

template <auto kForward>
std::tuple<at::Tensor, at::Tensor> flat_paged(
    const at::Tensor& q, const at::Tensor& k_cache, const at::Tensor& v_cache, const at::Tensor& block_table,
    const at::Tensor& seq_lens, const std::optional<at::Tensor>& k_new,
    const std::optional<at::Tensor>& v_new, const std::optional<at::Tensor>& cu_seqlens_q,
    const std::optional<at::Tensor>& rotary_cos, const std::optional<at::Tensor>& rotary_sin,
    bool rotary_interleaved, double softmax_scale, bool causal, c10::SymInt window_left,
    c10::SymInt window_right, double softcap, const std::optional<at::Tensor>& alibi_slopes,
    const std::optional<at::Tensor>& sinks, const std::optional<at::Tensor>& k_descale,
    const std::optional<at::Tensor>& v_descale, bool validate) {
  return kForward({q,
                   k_cache,
                   v_cache,
                   block_table,
                   seq_lens,
                   k_new,
                   v_new,
                   cu_seqlens_q,
                   rotary_cos,
                   rotary_sin,
                   rotary_interleaved,
                   softmax_scale,
                   causal,
                   {std::move(window_left), std::move(window_right), softcap, {}, alibi_slopes, sinks},
                   k_descale,
                   v_descale,
                   validate});
}

}  // namespace zeta::ops
