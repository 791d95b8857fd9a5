// How the work is cut: blocks of query rows against blocks of keys.
//
// The query heads that share a kv head are folded into rows: row r of a (batch, kv head) is position r /
// group, head r % group of the group. So keys and values are read once for the whole group, in prefill and in
// decoding alike.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/attention/attention.h"

namespace zeta::cpu {
namespace {

constexpr int64_t kBlockRows = 288;
constexpr int64_t kBlockKeys = 96;
// Of scores by key; an odd number of cache lines, or they crowd some sets.
constexpr int64_t kRowStride = 304;
constexpr int64_t kMaxWidth = 16;     // the widest vector type
constexpr int64_t kKeyAlignment = 8;  // of a block's first key: what one call of the dropout generator covers
static_assert(kBlockRows <= kRowStride && kBlockRows % kMaxWidth == 0 && kBlockKeys % kKeyAlignment == 0);

struct KeyBlock {
  int64_t first;
  int64_t count;
};

struct RowBlock {
  int64_t batch;
  int64_t kv_head;
  int64_t first;
  int64_t count;
};

struct Row {
  int64_t position;
  int64_t head;
};

inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
inline int64_t blocks(int64_t n, int64_t size) { return (n + size - 1) / size; }
inline int64_t group_size(const AttentionShape& s) { return s.num_heads / s.num_kv_heads; }
inline int64_t row_count(const AttentionShape& s) { return s.seq_q * group_size(s); }

inline Row row_at(const AttentionShape& shape, const RowBlock& block, int64_t r) {
  const int64_t group = group_size(shape);
  const int64_t row = block.first + r;
  return {row / group, block.kv_head * group + row % group};
}

inline RowBlock row_block(const AttentionShape& shape, int64_t batch, int64_t kv_head, int64_t index) {
  const int64_t first = index * kBlockRows;
  return {batch, kv_head, first, std::min(kBlockRows, row_count(shape) - first)};
}

// Element 0 of a row of q, out or their gradients.
template <class S>
inline S* row_data(const AttentionTensor& t, int64_t batch, Row row) {
  return static_cast<S*>(t.data) + batch * t.batch_stride + row.position * t.seq_stride +
         row.head * t.head_stride;
}

// Element 0 of key 0 of k, v or their gradients; further keys follow at seq_stride.
template <class S>
inline S* head_data(const AttentionTensor& t, int64_t batch, int64_t head) {
  return static_cast<S*>(t.data) + batch * t.batch_stride + head * t.head_stride;
}

// Keys from one on that lie seq_stride apart.
template <class S>
struct KeyRun {
  const S* data;
  int64_t count;
};

template <class S>
inline KeyRun<S> key_run(const AttentionInputs& in, const AttentionTensor& t, int64_t batch, int64_t head,
                         KeyBlock keys) {
  if (in.pages.table == nullptr)
    return {head_data<const S>(t, batch, head) + keys.first * t.seq_stride, keys.count};
  const int64_t page = in.pages.table[keys.first / in.pages.page_size], row = keys.first % in.pages.page_size;
  return {head_data<const S>(t, page, head) + row * t.seq_stride,
          std::min(keys.count, in.pages.page_size - row)};
}

struct KeyRange {
  int64_t begin;
  int64_t end;
};

// The keys that causality and the window let a position see.
inline KeyRange visible_keys(const AttentionInputs& in, int64_t position) {
  const int64_t seq_k = in.shape.seq_k, diagonal = position + seq_k - in.shape.seq_q;
  KeyRange seen = {0, seq_k};
  if (in.window_left >= 0) seen.begin = std::clamp<int64_t>(diagonal - in.window_left, 0, seq_k);
  if (in.window_right >= 0) seen.end = std::clamp<int64_t>(diagonal + in.window_right + 1, 0, seq_k);
  if (in.causal) seen.end = std::min(seen.end, std::clamp<int64_t>(diagonal + 1, 0, seq_k));
  return seen;
}

// … any position of a block, from a multiple of kKeyAlignment on.
inline KeyRange visible_keys(const AttentionInputs& in, const RowBlock& block) {
  const KeyRange first = visible_keys(in, row_at(in.shape, block, 0).position);
  const KeyRange last = visible_keys(in, row_at(in.shape, block, block.count - 1).position);
  return {first.begin / kKeyAlignment * kKeyAlignment, last.end};
}

// The rows of a block that see any of these keys, as far as causality and the window go, rounded to whole
// vectors, so that no lane beside them is a row of the block.
inline RowBlock rows_that_see(const AttentionInputs& in, const RowBlock& block, KeyBlock keys) {
  const AttentionShape& s = in.shape;
  const int64_t group = group_size(s), shift = keys.first - (s.seq_k - s.seq_q);
  const int64_t right = in.causal ? 0 : in.window_right;
  int64_t begin = 0, end = block.count;
  if (in.causal || right >= 0)
    begin =
        std::clamp<int64_t>((shift - right) * group - block.first, 0, block.count) / kMaxWidth * kMaxWidth;
  if (in.window_left >= 0)
    end =
        std::clamp<int64_t>((shift + keys.count + in.window_left) * group - block.first, begin, block.count);
  end = std::min(round_up(end, kMaxWidth), block.count);
  return {block.batch, block.kv_head, block.first + begin, end - begin};
}

template <class T>
inline T& row_value(const AttentionRows& values, int64_t batch, Row row) {
  return static_cast<T*>(
      values.data)[batch * values.batch_stride + row.head * values.head_stride + row.position];
}

// Rows of fp32 scratch are this far apart: whole vectors, and an odd number of cache lines.
inline int64_t padded(int64_t dim) { return (blocks(dim, kMaxWidth) | 1) * kMaxWidth; }

}  // namespace
}  // namespace zeta::cpu
