// Where the splits of the queries gather grad_k and grad_v: (batch, kv head, split, key, [grad_k | grad_v]),
// each part of a row whole vectors.
#pragma once

#include "kernels/cpu/attention/block.h"

namespace zeta::cpu {
namespace {

// Enough items for a few threads, however few heads; a function of the shape alone, so that sums do not
// depend on how many threads there are. More would cost memory: each split has its own copy of grad_k and
// grad_v.
constexpr int64_t kWantedItems = 16;
constexpr int64_t kMaxSplits = 8;

inline int64_t query_splits(const AttentionShape& s) {
  const int64_t heads = std::max<int64_t>(s.batch * s.num_kv_heads, 1);
  const int64_t most = std::clamp<int64_t>(blocks(row_count(s), kBlockRows), 1, kMaxSplits);
  return std::min(blocks(kWantedItems, heads), most);
}

template <class T>
struct KeyGradients {
  T* data;
  int64_t row_stride;
  int64_t value_offset;

  T* key(int64_t k) const { return data + k * row_stride; }
  T* value(int64_t k) const { return data + k * row_stride + value_offset; }
};

template <class T>
inline KeyGradients<T> key_gradients(const AttentionBackward& args, int64_t head, int64_t split,
                                     T* partials) {
  const AttentionShape& s = args.inputs.shape;
  const int64_t value_offset = round_up(s.head_dim, kMaxWidth);
  const int64_t row_stride = value_offset + round_up(s.value_dim, kMaxWidth);
  return {partials + (head * query_splits(s) + split) * s.seq_k * row_stride, row_stride, value_offset};
}

}  // namespace
}  // namespace zeta::cpu
