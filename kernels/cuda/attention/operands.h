// Attention's tensors as the copy engine sees them.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/hopper/tensor_map.h"

namespace zeta::cuda {

inline hopper::HalfTensor half_tensor(const AttentionTensor& t, int64_t batch, int64_t seq, int64_t heads,
                                      int64_t dim) {
  return {t.data, dim, seq, heads, batch, t.seq_stride, t.head_stride, t.batch_stride};
}
inline hopper::HalfTensor query_tensor(const AttentionTensor& t, const AttentionShape& s, int64_t dim) {
  return half_tensor(t, s.batch, s.seq_q, s.num_heads, dim);
}
inline hopper::HalfTensor key_tensor(const AttentionTensor& t, const AttentionShape& s, int64_t dim) {
  return half_tensor(t, s.batch, s.seq_k, s.num_kv_heads, dim);
}

// Whether rows can be read and written 16 bytes at a time.
inline bool in_sixteen_bytes(const AttentionTensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.batch_stride % 8 == 0 && t.seq_stride % 8 == 0 &&
         t.head_stride % 8 == 0;
}

}  // namespace zeta::cuda
