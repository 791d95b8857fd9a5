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
#include "kernels/cpu/attention/partials.h"
#include "kernels/cpu/attention/score.h"
#include "kernels/cpu/attention/scratch.h"

namespace zeta::cpu {
namespace {

// What every backward has; the operands are a policy's own.
template <class T>
struct BackwardState {
  BackwardState(const AttentionShape& s, ScratchCursor& cursor)
      : grad_q(cursor.take<T>(kRowStride * padded(s.head_dim))),
        scores(cursor.take<T>(kBlockKeys * kRowStride)),
        grad_scores(cursor.take<T>(kBlockKeys * kRowStride)),
        slopes(cursor.take<T>(kBlockKeys * kRowStride)),
        kept(cursor.take<T>(kBlockKeys * kRowStride)),
        lse(cursor.take<T>(kRowStride)),
        dot(cursor.take<T>(kRowStride)) {}

  void skip_rows(const AttentionShape& s, int64_t rows) {
    grad_q += rows * padded(s.head_dim);
    for (T** piece : {&scores, &grad_scores, &slopes, &kept, &lse, &dot}) *piece += rows;
  }

  T* grad_q;       // [row][padded(head_dim)]
  T* scores;       // [key][row]
  T* grad_scores;  // [key][row]
  T* slopes;       // [key][row], of softcap
  T* kept;         // [key][row], dropout's factors
  T* lse;          // in powers of two
  T* dot;          // Σ_d grad_out · out
};

template <class V, class S>
inline typename V::value_type dot_product(const S* a, const S* b, int64_t n) {
  using T = typename V::value_type;
  V sums = V::broadcast(T(0));
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) sums = multiply_add(V::load(a + i), V::load(b + i), sums);
  T sum = sums.sum();
  for (; i < n; ++i) sum += widen(a[i]) * widen(b[i]);
  return sum;
}

template <class P>
inline void load_block(const AttentionBackward& args, const RowBlock& rows, const typename P::Scratch& w) {
  using T = typename P::Vector::value_type;
  using S = typename P::Element;
  const AttentionShape& s = args.inputs.shape;
  P::load_rows(args, rows, w);
  for (int64_t i = 0; i < rows.count * padded(s.head_dim); ++i) w.grad_q[i] = T(0);
  for (int64_t r = 0; r < kRowStride; ++r) w.lse[r] = w.dot[r] = T(0);
  for (int64_t r = 0; r < rows.count; ++r) {
    const Row row = row_at(s, rows, r);
    const T lse = row_value<T>(args.lse, rows.batch, row);
    // A row without keys has -inf scores, which must stay so when lse is subtracted.
    w.lse[r] = lse == -std::numeric_limits<T>::infinity() ? T(0) : lse * std::numbers::log2e_v<T>;
    w.dot[r] = dot_product<typename P::Vector>(row_data<const S>(args.grad_out, rows.batch, row),
                                               row_data<const S>(args.out, rows.batch, row), s.value_dim);
  }
}

// scores become probabilities, grad_scores (grad_out · vᵀ until now) become P ∘ (grad_out vᵀ − D) · scale.
template <class V, bool kDropout, class T>
inline void differentiate_softmax(int64_t rows, int64_t keys, T scale, const BackwardState<T>& w) {
  for (int64_t r = 0; r < rows; r += V::kWidth) {
    const V lse = V::load(w.lse + r), dot = V::load(w.dot + r), factor = V::broadcast(scale);
    for (int64_t i = r; i < r + keys * kRowStride; i += kRowStride) {
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
template <class P, class T>
inline void differentiate_scores(const AttentionBackward& args, const RowBlock& rows, KeyBlock keys,
                                 Coverage mask, T scale, const typename P::Scratch& w) {
  using V = typename P::Vector;
  const AttentionInputs& in = args.inputs;
  const int64_t lanes = round_up(rows.count, V::kWidth);
  P::multiply_keys_and_values(in, rows, keys, w);
  modify_scores<V, typename P::Element>(in, rows, keys, mask, Scores<T>{w.scores, 1, kRowStride}, w.slopes);
  if (in.dropout.threshold == 0) return differentiate_softmax<V, false>(lanes, keys.count, scale, w);
  visit_dropout<T>(in, rows, keys,
                   [&](int64_t r, int64_t k, T factor) { w.kept[k * kRowStride + r] = factor; });
  differentiate_softmax<V, true>(lanes, keys.count, scale, w);
}

// target ∘= factor, both [key][row].
template <class V, class T>
inline void multiply_elements(int64_t keys, int64_t lanes, const T* factor, T* target) {
  for (int64_t k = 0; k < keys; ++k)
    for (int64_t i = k * kRowStride; i < k * kRowStride + lanes; i += V::kWidth)
      (V::load(target + i) * V::load(factor + i)).store(target + i);
}

template <class P, class T>
inline void backward_keys(const AttentionBackward& args, const RowBlock& block, KeyBlock keys,
                          KeyGradients<T> grads, const typename P::Scratch& whole) {
  using V = typename P::Vector;
  const AttentionInputs& in = args.inputs;
  const RowBlock rows = rows_that_see(in, block, keys);
  if (rows.count == 0) return;
  const Coverage mask = coverage(in, rows, keys);
  if (mask == Coverage::kNone) return;
  const auto w = whole.from(in.shape, rows.first - block.first);
  differentiate_scores<P>(args, rows, keys, mask, static_cast<T>(in.softmax_scale), w);
  if (in.softcap > 0)
    multiply_elements<V>(keys.count, round_up(rows.count, V::kWidth), w.slopes, w.grad_scores);
  P::add_gradients(in, rows, keys, grads, w);
}

template <class P>
size_t backward_scratch(const AttentionBackward& args) {
  return typename P::Scratch(args.inputs.shape, ScratchCursor(nullptr)).size;
}

template <class P>
void backward_range(const AttentionBackward& args, int64_t begin, int64_t end, void* memory) {
  using T = typename P::Vector::value_type;
  const AttentionInputs& in = args.inputs;
  const AttentionShape& s = in.shape;
  const typename P::Scratch scratch(s, ScratchCursor(memory));
  const int64_t splits = query_splits(s);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t head = item / splits, split = item % splits;
    const KeyGradients<T> grads = key_gradients(args, head, split, static_cast<T*>(args.partials));
    // Taking every splits-th block gives each split an even share of a causal triangle.
    for (int64_t block = split; block < blocks(row_count(s), kBlockRows); block += splits) {
      const RowBlock rows = row_block(s, head / s.num_kv_heads, head % s.num_kv_heads, block);
      load_block<P>(args, rows, scratch);
      const KeyRange visible = visible_keys(in, rows);
      for (int64_t first = visible.begin; first < visible.end; first += kBlockKeys)
        backward_keys<P>(args, rows, {first, std::min(kBlockKeys, visible.end - first)}, grads, scratch);
      for (int64_t r = 0; r < rows.count; ++r)
        store_row(scratch.grad_q + r * padded(s.head_dim), T(1), s.head_dim,
                  row_data<typename P::Element>(args.grad_q, rows.batch, row_at(s, rows, r)));
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
