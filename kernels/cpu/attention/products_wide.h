// The products of attention from operands widened to fp32 (or float64).
#pragma once

#include <type_traits>

#include "kernels/cpu/attention/backward.h"
#include "kernels/cpu/attention/copy.h"
#include "kernels/cpu/attention/forward.h"
#include "kernels/cpu/attention/matmul.h"

namespace zeta::cpu {
namespace {

// Keys or values whose elements are broadcast: where they lie, or in scratch.
template <class V, class S, class T>
inline LeftMatrix<T> left_keys(const AttentionInputs& in, const AttentionTensor& t, const RowBlock& rows,
                               KeyBlock keys, int64_t dim, T* scratch) {
  if constexpr (std::is_same_v<S, T>) {
    const KeyRun<S> run = key_run<S>(in, t, rows.batch, rows.kv_head, keys);
    if (run.count == keys.count) return {run.data, t.seq_stride, 1};
  }
  load_keys<V, S>(in, t, rows.batch, rows.kv_head, keys, dim, scratch);
  return {scratch, padded(dim), 1};
}

// Into the second-level cache, while something else is multiplied.
template <class S>
inline void prefetch_keys(const AttentionInputs& in, const AttentionTensor& t, const RowBlock& rows,
                          KeyBlock keys, int64_t dim) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(S));
  keys.count = std::min(keys.count, in.shape.seq_k - keys.first);
  if (in.pages.table != nullptr || keys.count <= 0) return;
  const S* row = key_run<S>(in, t, rows.batch, rows.kv_head, keys).data;
  for (int64_t k = 0; k < keys.count; ++k, row += t.seq_stride)
    for (int64_t d = 0; d < dim; d += kLine) __builtin_prefetch(row + d, 0, 2);
}

template <class V, class S>
struct WideForward {
  using Vector = V;
  using Element = S;
  using T = typename V::value_type;

  struct Scratch : ForwardState<T> {
    Scratch(const AttentionShape& s, ScratchCursor cursor)
        : ForwardState<T>(s, cursor),
          queries(cursor.take<T>(s.head_dim * kRowStride)),
          keys(cursor.take<T>(kBlockKeys * padded(s.head_dim))),
          values(cursor.take<T>(kBlockKeys * padded(s.value_dim))),
          size(cursor.used()) {}
    Scratch from(const AttentionShape& s, int64_t row) const {
      Scratch w = *this;
      w.skip_rows(s, row);
      w.queries += row;
      return w;
    }

    T* queries;  // [head_dim][row], scaled
    T* keys;     // [key][padded(head_dim)]
    T* values;   // [key][padded(value_dim)]
    size_t size;
  };

  static void load_queries(const AttentionInputs& in, const RowBlock& rows, const Scratch& w) {
    load_rows_transposed<V, S>(in.shape, in.q, rows, in.shape.head_dim, query_scale<T>(in), w.queries);
  }
  static void multiply_keys(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                            const Scratch& w) {
    const int64_t dim = in.shape.head_dim;
    prefetch_keys<S>(in, in.v, rows, keys, in.shape.value_dim);
    multiply_scores<V, T>(Staircase(in, rows, keys), left_keys<V, S>(in, in.k, rows, keys, dim, w.keys),
                          {w.queries, kRowStride}, {w.scores, kRowStride}, keys.count,
                          round_up(rows.count, V::kWidth), dim);
  }
  static void add_values(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, const Scratch& w) {
    const int64_t dim = in.shape.value_dim;
    load_keys<V, S>(in, in.v, rows.batch, rows.kv_head, keys, dim, w.values);
    prefetch_keys<S>(in, in.k, rows, {keys.first + keys.count, kBlockKeys}, in.shape.head_dim);
    add_over_keys<V, T>(Staircase(in, rows, keys), {w.scores, 1, kRowStride}, {w.values, padded(dim)},
                        {w.out, padded(dim)}, rows.count, round_up(dim, V::kWidth));
  }
};

template <class V, class S>
struct WideBackward {
  using Vector = V;
  using Element = S;
  using T = typename V::value_type;

  struct Scratch : BackwardState<T> {
    Scratch(const AttentionShape& s, ScratchCursor cursor)
        : BackwardState<T>(s, cursor),
          queries(cursor.take<T>(kRowStride * padded(s.head_dim))),
          queries_transposed(cursor.take<T>(s.head_dim * kRowStride)),
          grad_out(cursor.take<T>(kRowStride * padded(s.value_dim))),
          grad_out_transposed(cursor.take<T>(s.value_dim * kRowStride)),
          keys(cursor.take<T>(kBlockKeys * padded(s.head_dim))),
          values(cursor.take<T>(kBlockKeys * padded(s.value_dim))),
          size(cursor.used()) {}
    Scratch from(const AttentionShape& s, int64_t row) const {
      Scratch w = *this;
      w.skip_rows(s, row);
      w.queries += row * padded(s.head_dim);
      w.grad_out += row * padded(s.value_dim);
      w.queries_transposed += row;
      w.grad_out_transposed += row;
      return w;
    }

    T* queries;              // [row][padded(head_dim)]
    T* queries_transposed;   // [head_dim][row], scaled
    T* grad_out;             // [row][padded(value_dim)]
    T* grad_out_transposed;  // [value_dim][row]
    T* keys;                 // [key][padded(head_dim)]
    T* values;               // [key][padded(value_dim)]
    size_t size;
  };

  static void load_rows(const AttentionBackward& args, const RowBlock& rows, const Scratch& w) {
    const AttentionInputs& in = args.inputs;
    const AttentionShape& s = in.shape;
    cpu::load_rows<V, S>(s, in.q, rows, s.head_dim, w.queries);
    cpu::load_rows<V, S>(s, args.grad_out, rows, s.value_dim, w.grad_out);
    load_rows_transposed<V, S>(s, in.q, rows, s.head_dim, query_scale<T>(in), w.queries_transposed);
    load_rows_transposed<V, S>(s, args.grad_out, rows, s.value_dim, T(1), w.grad_out_transposed);
  }
  static void multiply_keys_and_values(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                                       const Scratch& w) {
    const AttentionShape& s = in.shape;
    const int64_t lanes = round_up(rows.count, V::kWidth);
    load_keys<V, S>(in, in.k, rows.batch, rows.kv_head, keys, s.head_dim, w.keys);
    const Staircase stair(in, rows, keys);
    multiply_scores<V, T>(stair, {w.keys, padded(s.head_dim), 1}, {w.queries_transposed, kRowStride},
                          {w.scores, kRowStride}, keys.count, lanes, s.head_dim);
    multiply_scores<V, T>(stair, left_keys<V, S>(in, in.v, rows, keys, s.value_dim, w.values),
                          {w.grad_out_transposed, kRowStride}, {w.grad_scores, kRowStride}, keys.count, lanes,
                          s.value_dim);
  }
  static void add_gradients(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                            KeyGradients<T> grads, const Scratch& w) {
    const AttentionShape& s = in.shape;
    const Staircase stair(in, rows, keys);
    const int64_t key_stride = padded(s.head_dim), value_stride = padded(s.value_dim);
    const int64_t key_columns = round_up(s.head_dim, V::kWidth);
    add_over_rows<V, T>(stair, {w.scores, kRowStride, 1}, {w.grad_out, value_stride},
                        {grads.value(keys.first), grads.row_stride}, keys.count,
                        round_up(s.value_dim, V::kWidth), rows.count);
    add_over_rows<V, T>(stair, {w.grad_scores, kRowStride, 1}, {w.queries, key_stride},
                        {grads.key(keys.first), grads.row_stride}, keys.count, key_columns, rows.count);
    add_over_keys<V, T>(stair, {w.grad_scores, 1, kRowStride}, {w.keys, key_stride}, {w.grad_q, key_stride},
                        rows.count, key_columns);
  }
};

}  // namespace
}  // namespace zeta::cpu
