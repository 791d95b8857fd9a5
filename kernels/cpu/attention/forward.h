// The forward pass. Scores are kept transposed, [key][row], so that the vector lanes are query rows: both
// products broadcast one side and read the other in rows, and the softmax needs no horizontal step. The
// products are a policy: products_wide.h, products_bf16.h.
#pragma once

#include <cmath>
#include <numbers>

#include "kernels/cpu/attention/copy.h"
#include "kernels/cpu/attention/dropout.h"
#include "kernels/cpu/attention/forward_few.h"
#include "kernels/cpu/attention/score.h"
#include "kernels/cpu/attention/scratch.h"

namespace zeta::cpu {
namespace {

// What every forward has; the operands are a policy's own.
template <class T>
struct ForwardState {
  explicit ForwardState(const AttentionShape& s, ScratchCursor& cursor)
      : scores(cursor.take<T>(kBlockKeys * kRowStride)),
        out(cursor.take<T>(kRowStride * padded(s.value_dim))),
        maximum(cursor.take<T>(kRowStride)),
        sum(cursor.take<T>(kRowStride)),
        rescale(cursor.take<T>(kRowStride)) {}

  void skip_rows(const AttentionShape& s, int64_t rows) {
    out += rows * padded(s.value_dim);
    for (T** piece : {&scores, &maximum, &sum, &rescale}) *piece += rows;
  }

  T* scores;   // [key][row], in powers of two
  T* out;      // [row][padded(value_dim)], not yet divided by sum
  T* maximum;  // of a row's scores so far
  T* sum;      // of exp2(score - maximum)
  T* rescale;  // what the last block multiplied older sums by
};

// Scores become exp2(score - running maximum); maximum, sum and rescale follow.
template <class V, class T>
inline void softmax_block(int64_t rows, int64_t keys, const ForwardState<T>& w) {
  const V lowest =
      V::broadcast(std::numeric_limits<T>::lowest());  // stands in for -inf, so that -inf - it is -inf
  for (int64_t r = 0; r < rows; r += V::kWidth) {
    T* column = w.scores + r;
    const V before = V::load(w.maximum + r);
    V maximum = before;
    for (int64_t k = 0; k < keys; ++k) maximum = max(V::load(column + k * kRowStride), maximum);
    const V base = max(maximum, lowest);
    V sum = V::broadcast(T(0));
    for (int64_t k = 0; k < keys; ++k) {
      const V p = exp2(V::load(column + k * kRowStride) - base);
      p.store(column + k * kRowStride);
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

// A block of keys against the rows that see it. P says what the operands are and how they are multiplied.
template <class P>
inline void forward_keys(const AttentionInputs& in, const RowBlock& block, KeyBlock keys,
                         const typename P::Scratch& whole) {
  using V = typename P::Vector;
  using T = typename V::value_type;
  const RowBlock rows = rows_that_see(in, block, keys);
  if (rows.count == 0) return;
  const Coverage mask = coverage(in, rows, keys);
  if (mask == Coverage::kNone) return;
  const AttentionShape& s = in.shape;
  const auto w = whole.from(s, rows.first - block.first);
  const Scores<T> scores = {w.scores, 1, kRowStride};
  P::multiply_keys(in, rows, keys, w);
  modify_scores<V, typename P::Element>(in, rows, keys, mask, scores);
  softmax_block<V>(round_up(rows.count, V::kWidth), keys.count, w);
  if (in.dropout.threshold != 0) drop(in, rows, keys, scores);
  rescale_rows<V>(rows.count, round_up(s.value_dim, V::kWidth), padded(s.value_dim), w.rescale, w.out);
  P::add_values(in, rows, keys, w);
}

template <class P>
inline void forward_rows(const AttentionForward& args, const RowBlock& rows, const typename P::Scratch& w) {
  using T = typename P::Vector::value_type;
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  P::load_queries(in, rows, w);
  start_rows(in, rows, kRowStride, w.maximum, w.sum);
  for (int64_t i = 0; i < rows.count * padded(s.value_dim); ++i) w.out[i] = T(0);
  const KeyRange visible = visible_keys(in, rows);
  for (int64_t first = visible.begin; first < visible.end; first += kBlockKeys)
    forward_keys<P>(in, rows, {first, std::min(kBlockKeys, visible.end - first)}, w);
  for (int64_t r = 0; r < rows.count; ++r)
    store_result<typename P::Element>(args, rows, r, w.out + r * padded(s.value_dim), w.maximum[r], w.sum[r]);
}

// Block indices alternate between the two ends, so that under causality any contiguous range is about equal
// work.
inline int64_t balanced(int64_t i, int64_t count) { return i % 2 == 0 ? i / 2 : count - 1 - i / 2; }

template <class P>
size_t forward_scratch(const AttentionForward& args) {
  using T = typename P::Vector::value_type;
  const AttentionShape& s = args.inputs.shape;
  return std::max(typename P::Scratch(s, ScratchCursor(nullptr)).size,
                  FewScratch<T>(s, ScratchCursor(nullptr)).size);
}

template <class P>
void forward_range(const AttentionForward& args, int64_t begin, int64_t end, void* memory) {
  using T = typename P::Vector::value_type;
  const AttentionShape& s = args.inputs.shape;
  const typename P::Scratch scratch(s, ScratchCursor(memory));
  FewScratch<T> few(s, ScratchCursor(memory));
  const int64_t per_head = blocks(row_count(s), kBlockRows);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t head = item / per_head;
    const RowBlock rows =
        row_block(s, head / s.num_kv_heads, head % s.num_kv_heads, balanced(item % per_head, per_head));
    if (rows.count <= kFewRows)
      forward_few<typename P::Vector, typename P::Element>(args, rows, few);
    else
      forward_rows<P>(args, rows, scratch);
  }
}

}  // namespace
}  // namespace zeta::cpu
