// The backward pass. Probabilities are recomputed from lse; with D = Σ_d grad_out · out per row,
//   dS = P ∘ (grad_out vᵀ − D) · scale,  grad_q = dS k,  grad_k = dSᵀ q,  grad_v = Pᵀ grad_out.
// Dropout multiplies the P of grad_v and the product grad_out vᵀ, softcap's derivative dS.
// An item is one split of a kv head's query blocks. It owns their grad_q and one slice of partials, so
// nothing is added to by two, and the order of every sum is fixed by the shape.
#pragma once

#include <limits>
#include <numbers>

#include "kernels/cpu/attention/copy.h"
#include "kernels/cpu/attention/dropout.h"
#include "kernels/cpu/attention/matmul.h"
#include "kernels/cpu/attention/partials.h"
#include "kernels/cpu/attention/score.h"
#include "kernels/cpu/attention/scratch.h"

namespace zeta::cpu {
namespace {

template <class T>
struct BackwardScratch {
  BackwardScratch(const AttentionShape& s, ScratchCursor cursor)
      : queries(cursor.take<T>(kBlockRows * padded(s.head_dim))),
        queries_transposed(cursor.take<T>(s.head_dim * kBlockRows)),
        grad_out(cursor.take<T>(kBlockRows * padded(s.value_dim))),
        grad_out_transposed(cursor.take<T>(s.value_dim * kBlockRows)),
        grad_q(cursor.take<T>(kBlockRows * padded(s.head_dim))),
        keys(cursor.take<T>(kBlockKeys * padded(s.head_dim))),
        values(cursor.take<T>(kBlockKeys * padded(s.value_dim))),
        scores(cursor.take<T>(kBlockKeys * kBlockRows)),
        grad_scores(cursor.take<T>(kBlockKeys * kBlockRows)),
        slopes(cursor.take<T>(kBlockKeys * kBlockRows)),
        kept(cursor.take<T>(kBlockKeys * kBlockRows)),
        lse(cursor.take<T>(kBlockRows)),
        dot(cursor.take<T>(kBlockRows)),
        size(cursor.used()) {}

  T* queries;              // [row][padded(head_dim)]
  T* queries_transposed;   // [head_dim][row], times scale · log2 e
  T* grad_out;             // [row][padded(value_dim)]
  T* grad_out_transposed;  // [value_dim][row]
  T* grad_q;               // [row][padded(head_dim)]
  T* keys;                 // [key][padded(head_dim)]
  T* values;               // [key][padded(value_dim)]
  T* scores;               // [key][row]
  T* grad_scores;          // [key][row]
  T* slopes;               // [key][row], of softcap
  T* kept;                 // [key][row], dropout's factors
  T* lse;                  // in powers of two
  T* dot;                  // Σ_d grad_out · out
  size_t size;
};

template <class V, class S, class T>
inline void load_block(const AttentionBackward& args, const RowBlock& rows, BackwardScratch<T>& w) {
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  load_rows<V, S>(s, in.q, rows, s.head_dim, w.queries);
  load_rows_transposed<V, S>(s, in.q, rows, s.head_dim, query_scale<T>(in), w.queries_transposed);
  load_rows<V, S>(s, args.grad_out, rows, s.value_dim, w.grad_out);
  load_rows_transposed<V, S>(s, args.grad_out, rows, s.value_dim, T(1), w.grad_out_transposed);
  for (int64_t i = 0; i < rows.count * padded(s.head_dim); ++i) w.grad_q[i] = T(0);
  for (int64_t r = 0; r < kBlockRows; ++r) w.lse[r] = w.dot[r] = T(0);
  for (int64_t r = 0; r < rows.count; ++r) {
    const Row row = row_at(s, rows, r);
    const T lse = row_value<T>(args.lse, rows.batch, row);
    // A row without keys has -inf scores, which must stay so when lse is subtracted.
    w.lse[r] = lse == -std::numeric_limits<T>::infinity() ? T(0) : lse * std::numbers::log2e_v<T>;
    const S* out = row_data<const S>(args.out, rows.batch, row);
    for (int64_t d = 0; d < s.value_dim; ++d)
      w.dot[r] += w.grad_out[r * padded(s.value_dim) + d] * widen(out[d]);
  }
}

// scores become probabilities, grad_scores (grad_out · vᵀ until now) become P ∘ (grad_out vᵀ − D) · scale.
template <class V, bool kDropout, class T>
inline void differentiate_softmax(int64_t rows, int64_t keys, T scale, BackwardScratch<T>& w) {
  for (int64_t r = 0; r < rows; r += V::kWidth) {
    const V lse = V::load(w.lse + r), dot = V::load(w.dot + r), factor = V::broadcast(scale);
    for (int64_t i = r; i < r + keys * kBlockRows; i += kBlockRows) {
      const V p = exp2(V::load(w.scores + i) - lse);
      V product = V::load(w.grad_scores + i);
      if constexpr (kDropout) {
        const V kept = V::load(w.kept + i);
        (p * kept).store(w.scores + i);
        product = product * kept;
      } else {
        p.store(w.scores + i);
      }
      (p * (product - dot) * factor).store(w.grad_scores + i);
    }
  }
}

// scores and grad_scores of a block, as the products of the gradients take them but for softcap's derivative.
template <class V, class S, class T>
inline void differentiate_scores(const AttentionBackward& args, const RowBlock& rows, KeyBlock keys,
                                 Coverage mask, T scale, BackwardScratch<T>& w) {
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  const int64_t key_stride = padded(s.head_dim), value_stride = padded(s.value_dim);
  const int64_t lanes = round_up(rows.count, V::kWidth);
  load_keys<V, S>(in, in.k, rows.batch, rows.kv_head, keys, s.head_dim, w.keys);
  load_keys<V, S>(in, in.v, rows.batch, rows.kv_head, keys, s.value_dim, w.values);
  multiply<V, Store::kOverwrite, T>({w.keys, key_stride, 1}, {w.queries_transposed, kBlockRows},
                                    {w.scores, kBlockRows}, keys.count, lanes, s.head_dim);
  modify_scores<V, S>(in, rows, keys, mask, Scores<T>{w.scores, 1, kBlockRows}, w.slopes);
  multiply<V, Store::kOverwrite, T>({w.values, value_stride, 1}, {w.grad_out_transposed, kBlockRows},
                                    {w.grad_scores, kBlockRows}, keys.count, lanes, s.value_dim);
  if (in.dropout.threshold == 0) return differentiate_softmax<V, false>(lanes, keys.count, scale, w);
  visit_dropout<T>(in, rows, keys,
                   [&](int64_t r, int64_t k, T factor) { w.kept[k * kBlockRows + r] = factor; });
  differentiate_softmax<V, true>(lanes, keys.count, scale, w);
}

// target ∘= factor, both [key][row].
template <class V, class T>
inline void multiply_elements(int64_t keys, int64_t lanes, const T* factor, T* target) {
  for (int64_t k = 0; k < keys; ++k)
    for (int64_t i = k * kBlockRows; i < k * kBlockRows + lanes; i += V::kWidth)
      (V::load(target + i) * V::load(factor + i)).store(target + i);
}

template <class V, class S, class T>
inline void backward_keys(const AttentionBackward& args, const RowBlock& rows, KeyBlock keys,
                          KeyGradients<T> grads, BackwardScratch<T>& w) {
  const AttentionInputs& in = args.inputs;
  const Coverage mask = coverage(in, rows, keys);
  if (mask == Coverage::kNone) return;
  const AttentionShape& s = in.shape;
  const int64_t key_stride = padded(s.head_dim), value_stride = padded(s.value_dim);
  const int64_t key_columns = round_up(s.head_dim, V::kWidth),
                value_columns = round_up(s.value_dim, V::kWidth);
  differentiate_scores<V, S>(args, rows, keys, mask, static_cast<T>(in.softmax_scale), w);
  if (in.softcap > 0)
    multiply_elements<V>(keys.count, round_up(rows.count, V::kWidth), w.slopes, w.grad_scores);
  multiply<V, Store::kAdd, T>({w.scores, kBlockRows, 1}, {w.grad_out, value_stride},
                              {grads.value(keys.first), grads.row_stride}, keys.count, value_columns,
                              rows.count);
  multiply<V, Store::kAdd, T>({w.grad_scores, kBlockRows, 1}, {w.queries, key_stride},
                              {grads.key(keys.first), grads.row_stride}, keys.count, key_columns, rows.count);
  multiply<V, Store::kAdd, T>({w.grad_scores, 1, kBlockRows}, {w.keys, key_stride}, {w.grad_q, key_stride},
                              rows.count, key_columns, keys.count);
}

template <class V, class S>
size_t backward_scratch(const AttentionBackward& args) {
  return BackwardScratch<typename V::value_type>(args.inputs.shape, ScratchCursor(nullptr)).size;
}

template <class V, class S>
void backward_range(const AttentionBackward& args, int64_t begin, int64_t end, void* memory) {
  using T = typename V::value_type;
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  BackwardScratch<T> scratch(s, ScratchCursor(memory));
  const int64_t splits = query_splits(s);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t head = item / splits, split = item % splits;
    const KeyGradients<T> grads = key_gradients(args, head, split, static_cast<T*>(args.partials));
    // Taking every splits-th block gives each split an even share of a causal triangle.
    for (int64_t block = split; block < blocks(row_count(s), kBlockRows); block += splits) {
      const RowBlock rows = row_block(s, head / s.num_kv_heads, head % s.num_kv_heads, block);
      load_block<V, S>(args, rows, scratch);
      const KeyRange visible = visible_keys(in, rows);
      for (int64_t first = visible.begin; first < visible.end; first += kBlockKeys)
        backward_keys<V, S>(args, rows, {first, std::min(kBlockKeys, visible.end - first)}, grads, scratch);
      for (int64_t r = 0; r < rows.count; ++r)
        store_row(scratch.grad_q + r * padded(s.head_dim), T(1), s.head_dim,
                  row_data<S>(args.grad_q, rows.batch, row_at(s, rows, r)));
    }
  }
}

// grad_k, grad_v of one block of keys of one kv head: the sum of the splits, first to last.
template <class V, class S>
void reduce_range(const AttentionBackward& args, int64_t begin, int64_t end, void*) {
  using T = typename V::value_type;
  const AttentionShape& s = args.inputs.shape;
  const int64_t per_head = blocks(s.seq_k, kBlockKeys);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t head = item / per_head, first = item % per_head * kBlockKeys;
    const int64_t last = std::min(first + kBlockKeys, s.seq_k);
    const KeyGradients<T> total = key_gradients(args, head, 0, static_cast<T*>(args.partials));
    for (int64_t split = 1; split < query_splits(s); ++split) {
      const KeyGradients<T> part = key_gradients(args, head, split, static_cast<T*>(args.partials));
      for (int64_t i = first * total.row_stride; i < last * total.row_stride; ++i)
        total.data[i] += part.data[i];
    }
    S* grad_k = head_data<S>(args.grad_k, head / s.num_kv_heads, head % s.num_kv_heads);
    S* grad_v = head_data<S>(args.grad_v, head / s.num_kv_heads, head % s.num_kv_heads);
    for (int64_t k = first; k < last; ++k) {
      store_row(total.key(k), T(1), s.head_dim, grad_k + k * args.grad_k.seq_stride);
      store_row(total.value(k), T(1), s.value_dim, grad_v + k * args.grad_v.seq_stride);
    }
  }
}

}  // namespace
}  // namespace zeta::cpu
