// The forward pass of a few query rows, as in decoding: vector lanes run along head_dim, and keys and values
// are read where they lie. One pass over a block of keys serves all rows while the block is in cache.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>

#include "kernels/cpu/attention/copy.h"
#include "kernels/cpu/attention/dropout.h"
#include "kernels/cpu/attention/rows.h"
#include "kernels/cpu/attention/score.h"
#include "kernels/cpu/attention/scratch.h"

namespace zeta::cpu {
namespace {

constexpr int64_t kFewRows = 4;   // from 5 on, one vector of rows against a block is cheaper
constexpr int64_t kFewKeys = 48;  // fp32 keys and values of 64 dimensions fit the first-level cache

template <class T>
struct FewScratch {
  FewScratch(const AttentionShape& s, ScratchCursor cursor)
      : queries(cursor.take<T>(kFewRows * padded(s.head_dim))),
        keys(cursor.take<T>(kFewKeys * padded(s.head_dim))),
        values(cursor.take<T>(kFewKeys * padded(s.value_dim))),
        scores(cursor.take<T>(kFewRows * kFewKeys)),
        out(cursor.take<T>(kFewRows * padded(s.value_dim))),
        size(cursor.used()) {}

  T* queries;  // [row][padded(head_dim)], times scale · log2 e
  T* keys;     // [key][padded(head_dim)], used where keys cannot be read in place
  T* values;
  T* scores;  // [row][kFewKeys]
  T* out;     // [row][padded(value_dim)]
  T maximum[kFewRows];
  T sum[kFewRows];
  size_t size;
};

// Keys or values as the kernel reads them: in place, or copied to scratch.
template <class E>
struct KeyRows {
  const E* data;
  int64_t stride;
};

// scores[k] = query · key k
template <class V, class E, class T>
inline void dot_keys(const T* query, KeyRows<E> keys, int64_t count, int64_t columns, T* scores) {
  for (int64_t k = 0; k < count; ++k) {
    const E* key = keys.data + k * keys.stride;
    V even = V::broadcast(T(0)), odd = even;
    int64_t d = 0;
    for (; d + 2 * V::kWidth <= columns; d += 2 * V::kWidth) {
      even = multiply_add(V::load(query + d), V::load(key + d), even);
      odd = multiply_add(V::load(query + d + V::kWidth), V::load(key + d + V::kWidth), odd);
    }
    if (d < columns) even = multiply_add(V::load(query + d), V::load(key + d), even);
    scores[k] = (even + odd).sum();
  }
}

// out = out · rescale + Σ p[k] · value k, kVectors vectors of it
template <class V, int kVectors, class E, class T>
inline void add_values(const T* p, KeyRows<E> values, int64_t count, T rescale, T* out) {
  V sums[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) sums[j] = V::load(out + j * V::kWidth) * V::broadcast(rescale);
  for (int64_t k = 0; k < count; ++k) {
    const V weight = V::broadcast(p[k]);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      sums[j] = multiply_add(weight, V::load(values.data + k * values.stride + j * V::kWidth), sums[j]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) sums[j].store(out + j * V::kWidth);
}

template <class V, class E, class T>
inline void add_values(const T* p, KeyRows<E> values, int64_t count, int64_t columns, T rescale, T* out) {
  for (; columns >= 4 * V::kWidth;
       columns -= 4 * V::kWidth, out += 4 * V::kWidth, values.data += 4 * V::kWidth)
    add_values<V, 4>(p, values, count, rescale, out);
  for (; columns > 0; columns -= V::kWidth, out += V::kWidth, values.data += V::kWidth)
    add_values<V, 1>(p, values, count, rescale, out);
}

// Scores become exp2(score - maximum), padded with zeros to a whole vector's count; returns what older sums
// are multiplied by.
template <class V, class T>
inline T softmax_row(T* scores, int64_t count, T& maximum, T& sum) {
  const T before = maximum;
  for (int64_t k = 0; k < count; ++k) maximum = scores[k] > maximum ? scores[k] : maximum;
  const T base = std::max(maximum, std::numeric_limits<T>::lowest());
  for (int64_t k = count; k % V::kWidth != 0; ++k) scores[k] = -std::numeric_limits<T>::infinity();
  V total = V::broadcast(T(0));
  for (int64_t k = 0; k < count; k += V::kWidth) {
    const V p = exp2(V::load(scores + k) - V::broadcast(base));
    p.store(scores + k);
    total = total + p;
  }
  const T rescale = std::exp2(before - base);
  sum = sum * rescale + total.sum();
  return rescale;
}

template <class V, class S, class E, class T>
inline void few_keys(const AttentionInputs& in, const RowBlock& rows, KeyBlock block, Coverage mask,
                     KeyRows<E> keys, KeyRows<E> values, FewScratch<T>& w) {
  const AttentionShape& s = in.shape;
  for (int64_t r = 0; r < rows.count; ++r)
    dot_keys<V>(w.queries + r * padded(s.head_dim), keys, block.count, round_up(s.head_dim, V::kWidth),
                w.scores + r * kFewKeys);
  const Scores<T> scores = {w.scores, kFewKeys, 1};
  modify_scores<V, S>(in, rows, block, mask, scores);
  T rescale[kFewRows];
  for (int64_t r = 0; r < rows.count; ++r)
    rescale[r] = softmax_row<V>(w.scores + r * kFewKeys, block.count, w.maximum[r], w.sum[r]);
  if (in.dropout.threshold != 0) drop(in, rows, block, scores);
  for (int64_t r = 0; r < rows.count; ++r)
    add_values<V>(w.scores + r * kFewKeys, values, block.count, round_up(s.value_dim, V::kWidth), rescale[r],
                  w.out + r * padded(s.value_dim));
}

template <class V, class S, class T>
inline void few_block(const AttentionInputs& in, const RowBlock& rows, KeyBlock block, FewScratch<T>& w) {
  const Coverage mask = coverage(in, rows, block);
  if (mask == Coverage::kNone) return;
  const AttentionShape& s = in.shape;
  if (s.head_dim % V::kWidth == 0 && s.value_dim % V::kWidth == 0) {
    const S* keys = key_run<S>(in, in.k, rows.batch, rows.kv_head, block).data;
    const S* values = key_run<S>(in, in.v, rows.batch, rows.kv_head, block).data;
    few_keys<V, S, S>(in, rows, block, mask, {keys, in.k.seq_stride}, {values, in.v.seq_stride}, w);
  } else {
    load_keys<V, S>(in, in.k, rows.batch, rows.kv_head, block, s.head_dim, w.keys);
    load_keys<V, S>(in, in.v, rows.batch, rows.kv_head, block, s.value_dim, w.values);
    few_keys<V, S, T>(in, rows, block, mask, {w.keys, padded(s.head_dim)}, {w.values, padded(s.value_dim)},
                      w);
  }
}

template <class V, class S, class T>
inline void forward_few(const AttentionForward& args, const RowBlock& rows, FewScratch<T>& w) {
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  const T scale = query_scale<T>(in);
  load_rows<V, S>(s, in.q, rows, s.head_dim, w.queries);
  for (int64_t i = 0; i < rows.count * padded(s.value_dim); ++i) w.out[i] = T(0);
  for (int64_t r = 0; r < rows.count; ++r) {
    T* query = w.queries + r * padded(s.head_dim);
    for (int64_t d = 0; d < s.head_dim; ++d) query[d] *= scale;
  }
  start_rows(in, rows, rows.count, w.maximum, w.sum);
  const KeyRange visible = visible_keys(in, rows);
  for (int64_t first = visible.begin; first < visible.end;) {
    const KeyBlock block = {first, std::min(kFewKeys, visible.end - first)};
    const int64_t count = key_run<S>(in, in.k, rows.batch, rows.kv_head, block).count;  // within one page
    few_block<V, S>(in, rows, {first, count}, w);
    first += count;
  }
  for (int64_t r = 0; r < rows.count; ++r)
    store_result<S>(args, rows, r, w.out + r * padded(s.value_dim), w.maximum[r], w.sum[r]);
}

}  // namespace
}  // namespace zeta::cpu
