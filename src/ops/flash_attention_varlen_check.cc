// Argument checks of the flash_attention_varlen ops: shapes for all devices, and the lengths' values.
#include <ATen/ATen.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_varlen.h"

namespace zeta::ops {
namespace {

using at::Tensor;

void check_rank(const Tensor& t, const char* name, const char* shape) {
  TORCH_CHECK_VALUE(t.dim() == 3, "flash_attention_varlen: expected ", name, " of shape ", shape, ", got ",
                    t.sym_sizes());
}

void check_starts(const Tensor& starts, const char* name, const Tensor& q) {
  TORCH_CHECK_TYPE(starts.scalar_type() == at::kInt, "flash_attention_varlen: expected ", name,
                   " of int32, got ", starts.scalar_type());
  TORCH_CHECK(starts.device() == q.device(), "flash_attention_varlen: expected ", name, " on q's device ",
              q.device(), ", got ", starts.device());
  TORCH_CHECK_VALUE(starts.dim() == 1 && starts.sym_size(0) >= 1, "flash_attention_varlen: expected ", name,
                    " of shape (sequences + 1), got ", starts.sym_sizes());
}

// The values rise from 0 to total in steps of at most max_seqlen.
void check_values(const Tensor& starts, const char* name, int64_t total, int64_t max_seqlen,
                  const char* max_name) {
  const int32_t* at = starts.const_data_ptr<int32_t>();
  const int64_t sequences = starts.numel() - 1;
  TORCH_CHECK_VALUE(at[0] == 0, "flash_attention_varlen: expected ", name, "[0] = 0, got ", at[0]);
  for (int64_t s = 0; s < sequences; ++s) {
    TORCH_CHECK_VALUE(at[s + 1] >= at[s], "flash_attention_varlen: expected ", name,
                      " that never falls, got ", at[s], " before ", at[s + 1], " at ", s);
    TORCH_CHECK_VALUE(at[s + 1] - at[s] <= max_seqlen,
                      "flash_attention_varlen: expected sequences of at most ", max_name, " = ", max_seqlen,
                      ", got ", at[s + 1] - at[s], " in ", name, " at ", s);
  }
  TORCH_CHECK_VALUE(at[sequences] == total, "flash_attention_varlen: expected ", name, " that ends at ",
                    total, ", got ", at[sequences]);
}

}  // namespace

void check_packed_inputs(const Tensor& q, const Tensor& k, const Tensor& v, const PackedLengths& lengths,
                         const AttentionOptions& options) {
  check_rank(q, "q", "(total_q, num_heads, head_dim)");
  check_rank(k, "k", "(total_k, num_kv_heads, head_dim)");
  check_rank(v, "v", "(total_k, num_kv_heads, value_dim)");
  const Tensor q4 = q.unsqueeze(0), k4 = k.unsqueeze(0);
  check_attention_inputs(q4, k4, v.unsqueeze(0), {});
  check_starts(lengths.cu_seqlens_q, "cu_seqlens_q", q);
  check_starts(lengths.cu_seqlens_k, "cu_seqlens_k", q);
  TORCH_CHECK_VALUE(lengths.cu_seqlens_q.sym_size(0) == lengths.cu_seqlens_k.sym_size(0),
                    "flash_attention_varlen: expected cu_seqlens_k of shape ",
                    lengths.cu_seqlens_q.sym_sizes(), " as cu_seqlens_q, got ",
                    lengths.cu_seqlens_k.sym_sizes());
  check_attention_options(q4, k4, options, lengths.cu_seqlens_q.sym_size(0) - 1);
}

void check_packed_gradient(const Tensor& grad_out, const Tensor& q, const Tensor& v, const Tensor& out,
                           const Tensor& lse) {
  check_rank(grad_out, "grad_out", "(total_q, num_heads, value_dim)");
  check_rank(out, "out", "(total_q, num_heads, value_dim)");
  check_attention_gradient(grad_out.unsqueeze(0), q.unsqueeze(0), v.unsqueeze(0), out.unsqueeze(0),
                           lse.unsqueeze(0));
}

std::vector<PackedSequence> packed_sequences(const Tensor& q, const Tensor& k, const PackedLengths& lengths) {
  const Tensor queries = lengths.cu_seqlens_q.cpu().contiguous(),
               keys = lengths.cu_seqlens_k.cpu().contiguous();
  check_values(queries, "cu_seqlens_q", q.size(0), lengths.max_seqlen_q.expect_int(), "max_seqlen_q");
  check_values(keys, "cu_seqlens_k", k.size(0), lengths.max_seqlen_k.expect_int(), "max_seqlen_k");
  const int32_t *query = queries.const_data_ptr<int32_t>(), *key = keys.const_data_ptr<int32_t>();
  std::vector<PackedSequence> sequences;
  for (int64_t s = 0; s + 1 < queries.numel(); ++s)
    sequences.push_back({query[s], query[s + 1] - query[s], key[s], key[s + 1] - key[s]});
  return sequences;
}

}  // namespace zeta::ops
