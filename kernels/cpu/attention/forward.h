// The forward pass. Scores are kept transposed, [key][row], so that the vector lanes are query rows: both
// products broadcast one side and read the other in rows, and the softmax needs no horizontal step.
#pragma once

#include <cmath>
#include <numbers>

#include "kernels/cpu/attention/copy.h"
#include "kernels/cpu/attention/dropout.h"
#include "kernels/cpu/attention/forward_few.h"
#include "kernels/cpu/attention/matmul.h"
#include "kernels/cpu/attention/score.h"
#include "kernels/cpu/attention/scratch.h"

namespace zeta::cpu {
namespace {

template <class T>
struct ForwardScratch {
  ForwardScratch(const AttentionShape& s, ScratchCursor cursor)
      : queries(cursor.take<T>(s.head_dim * kBlockRows)),
        keys(cursor.take<T>(kBlockKeys * padded(s.head_dim))),
        values(cursor.take<T>(kBlockKeys * padded(s.value_dim))),
        scores(cursor.take<T>(kBlockKeys * kBlockRows)),
        out(cursor.take<T>(kBlockRows * padded(s.value_dim))),
        maximum(cursor.take<T>(kBlockRows)),
        sum(cursor.take<T>(kBlockRows)),
        rescale(cursor.take<T>(kBlockRows)),
        size(cursor.used()) {}

  T* queries;  // [head_dim][row], times scale · log2 e
  T* keys;     // [key][padded(head_dim)]
  T* values;   // [key][padded(value_dim)]
  T* scores;   // [key][row], in powers of two
  T* out;      // [row][padded(value_dim)], not yet divided by sum
  T* maximum;  // of a row's scores so far
  T* sum;      // of exp2(score - maximum)
  T* rescale;  // what the last block multiplied older sums by
  size_t size;
};

// Scores become exp2(score - running maximum); maximum, sum and rescale follow.
template <class V, class T>
inline void softmax_block(int64_t rows, int64_t keys, ForwardScratch<T>& w) {
  const V lowest =
      V::broadcast(std::numeric_limits<T>::lowest());  // stands in for -inf, so that -inf - it is -inf
  for (int64_t r = 0; r < rows; r += V::kWidth) {
    T* column = w.scores + r;
    const V before = V::load(w.maximum + r);
    V maximum = before;
    for (int64_t k = 0; k < keys; ++k) maximum = max(V::load(column + k * kBlockRows), maximum);
    const V base = max(maximum, lowest);
    V sum = V::broadcast(T(0));
    for (int64_t k = 0; k < keys; ++k) {
      const V p = exp2(V::load(column + k * kBlockRows) - base);
      p.store(column + k * kBlockRows);
      sum = sum + p;
    }
    const V rescale = exp2(before - base);
    rescale.store(w.rescale + r);
    multiply_add(V::load(w.sum + r), rescale, sum).store(w.sum + r);
    maximum.store(w.maximum + r);
  }
}

template <class V, class T>
inline void rescale_rows(int64_t rows, int64_t columns, int64_t stride, const T* factors, T* data) {
  for (int64_t r = 0; r < rows; ++r) {
    if (factors[r] == T(1)) continue;
    const V factor = V::broadcast(factors[r]);
    T* row = data + r * stride;
    for (int64_t d = 0; d < columns; d += V::kWidth) (V::load(row + d) * factor).store(row + d);
  }
}

template <class V, class S, class T>
inline void forward_keys(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                         ForwardScratch<T>& w) {
  const Coverage mask = coverage(in, rows, keys);
  if (mask == Coverage::kNone) return;
  const AttentionShape& s = in.shape;
  const int64_t lanes = round_up(rows.count, V::kWidth);
  const int64_t value_columns = round_up(s.value_dim, V::kWidth);
  load_keys<V, S>(in, in.k, rows.batch, rows.kv_head, keys, s.head_dim, w.keys);
  load_keys<V, S>(in, in.v, rows.batch, rows.kv_head, keys, s.value_dim, w.values);
  multiply<V, Store::kOverwrite, T>({w.keys, padded(s.head_dim), 1}, {w.queries, kBlockRows},
                                    {w.scores, kBlockRows}, keys.count, lanes, s.head_dim);
  const Scores<T> scores = {w.scores, 1, kBlockRows};
  modify_scores<V, S>(in, rows, keys, mask, scores);
  softmax_block<V>(lanes, keys.count, w);
  if (in.dropout.threshold != 0) drop(in, rows, keys, scores);
  rescale_rows<V>(rows.count, value_columns, padded(s.value_dim), w.rescale, w.out);
  multiply<V, Store::kAdd, T>({w.scores, 1, kBlockRows}, {w.values, padded(s.value_dim)},
                              {w.out, padded(s.value_dim)}, rows.count, value_columns, keys.count);
}

template <class V, class S, class T>
inline void forward_rows(const AttentionForward& args, const RowBlock& rows, ForwardScratch<T>& w) {
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  load_rows_transposed<V, S>(s, in.q, rows, s.head_dim, query_scale<T>(in), w.queries);
  start_rows(in, rows, kBlockRows, w.maximum, w.sum);
  for (int64_t i = 0; i < rows.count * padded(s.value_dim); ++i) w.out[i] = T(0);
  const KeyRange visible = visible_keys(in, rows);
  for (int64_t first = visible.begin; first < visible.end; first += kBlockKeys)
    forward_keys<V, S>(in, rows, {first, std::min(kBlockKeys, visible.end - first)}, w);
  for (int64_t r = 0; r < rows.count; ++r)
    store_result<S>(args, rows, r, w.out + r * padded(s.value_dim), w.maximum[r], w.sum[r]);
}

// Block indices alternate between the two ends, so that under causality any contiguous range is about equal
// work.
inline int64_t balanced(int64_t i, int64_t count) { return i % 2 == 0 ? i / 2 : count - 1 - i / 2; }

template <class V, class S>
size_t forward_scratch(const AttentionForward& args) {
  using T = typename V::value_type;
  const AttentionShape& s = args.inputs.shape;
  return std::max(ForwardScratch<T>(s, ScratchCursor(nullptr)).size,
                  FewScratch<T>(s, ScratchCursor(nullptr)).size);
}

template <class V, class S>
void forward_range(const AttentionForward& args, int64_t begin, int64_t end, void* memory) {
  using T = typename V::value_type;
  const AttentionShape& s = args.inputs.shape;
  ForwardScratch<T> scratch(s, ScratchCursor(memory));
  FewScratch<T> few(s, ScratchCursor(memory));
  const int64_t per_head = blocks(row_count(s), kBlockRows);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t head = item / per_head;
    const RowBlock rows =
        row_block(s, head / s.num_kv_heads, head % s.num_kv_heads, balanced(item % per_head, per_head));
    if (rows.count <= kFewRows)
      forward_few<V, S>(args, rows, few);
    else
      forward_rows<V, S>(args, rows, scratch);
  }
}

}  // namespace
}  // namespace zeta::cpu
