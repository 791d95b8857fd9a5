// The gradient of the bias: P ∘ (grad_out vᵀ − D), summed over what the bias broadcasts. An item is a block
// of positions of one (batch, head) of the bias; it visits every batch and head that share them, so that
// nothing is added to by two.
#pragma once

#include "kernels/cpu/attention/backward.h"

namespace zeta::cpu {
namespace {

template <class S>
inline AttentionTensor at_head(AttentionTensor t, int64_t batch, int64_t head) {
  t.data = static_cast<S*>(t.data) + batch * t.batch_stride + head * t.head_stride;
  return t;
}

// The same problem with one batch and one query head alone.
template <class S, class T>
inline AttentionBackward one_head(const AttentionBackward& args, int64_t batch, int64_t head) {
  AttentionBackward one = args;
  AttentionInputs& in = one.inputs;
  const int64_t kv_head = head / group_size(in.shape);
  const int64_t number = batch * in.shape.num_heads + head;
  in.shape.batch = in.shape.num_heads = in.shape.num_kv_heads = 1;
  in.q = at_head<S>(in.q, batch, head);
  in.k = at_head<S>(in.k, batch, kv_head);
  in.v = at_head<S>(in.v, batch, kv_head);
  one.out = at_head<S>(one.out, batch, head);
  one.grad_out = at_head<S>(one.grad_out, batch, head);
  one.lse.data = static_cast<T*>(one.lse.data) + batch * one.lse.batch_stride + head * one.lse.head_stride;
  if (in.mask.data != nullptr) in.mask.data += batch * in.mask.batch_stride + head * in.mask.head_stride;
  if (in.alibi.data != nullptr) in.alibi.data += batch * in.alibi.batch_stride + head;
  const int64_t offset = batch * in.bias.batch_stride + head * in.bias.head_stride;
  if (in.bias.wide)
    in.bias.data = static_cast<const T*>(in.bias.data) + offset;
  else
    in.bias.data = static_cast<const S*>(in.bias.data) + offset;
  in.dropout.first_head += number;
  return one;
}

template <class T>
inline void add_gradient(const AttentionBiasGradient& bias, T* target, const RowBlock& rows, KeyBlock keys,
                         const T* grad_scores) {
  for (int64_t r = 0; r < rows.count; ++r) {
    T* row = target + (bias.seq_q == 1 ? 0 : rows.first + r) * bias.seq_k;
    for (int64_t k = 0; k < keys.count; ++k)
      row[bias.seq_k == 1 ? 0 : keys.first + k] += grad_scores[k * kRowStride + r];
  }
}

// Positions [first, last) of one (batch, head), as one_head makes it.
template <class P, class T>
inline void add_head(const AttentionBackward& args, const AttentionBiasGradient& bias, KeyRange positions,
                     T* target, const typename P::Scratch& w) {
  const AttentionInputs& in = args.inputs;
  for (int64_t first = positions.begin; first < positions.end; first += kBlockRows) {
    const RowBlock rows = {0, 0, first, std::min(kBlockRows, positions.end - first)};
    load_block<P>(args, rows, w);
    const KeyRange visible = visible_keys(in, rows);
    for (int64_t key = visible.begin; key < visible.end; key += kBlockKeys) {
      const KeyBlock keys = {key, std::min(kBlockKeys, visible.end - key)};
      const Coverage mask = coverage(in, rows, keys);
      if (mask == Coverage::kNone) continue;
      differentiate_scores<P>(args, rows, keys, mask, T(1), w);
      add_gradient(bias, target, rows, keys, w.grad_scores);
    }
  }
}

template <class P>
void bias_gradient_range(const AttentionBackward& args, const AttentionBiasGradient& bias, int64_t begin,
                         int64_t end, void* memory) {
  using T = typename P::Vector::value_type;
  using S = typename P::Element;
  const AttentionShape& s = args.inputs.shape;
  const typename P::Scratch scratch(s, ScratchCursor(memory));
  const int64_t per_head = blocks(bias.seq_q, kBlockRows);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t slice = item / per_head, b = slice / bias.heads, h = slice % bias.heads;
    const int64_t first = item % per_head * kBlockRows;
    const KeyRange positions =
        bias.seq_q == 1 ? KeyRange{0, s.seq_q} : KeyRange{first, std::min(first + kBlockRows, s.seq_q)};
    T* target = static_cast<T*>(bias.data) + slice * bias.seq_q * bias.seq_k;
    const bool all_batches = bias.batch == 1, all_heads = bias.heads == 1;
    for (int64_t batch = all_batches ? 0 : b; batch < (all_batches ? s.batch : b + 1); ++batch)
      for (int64_t head = all_heads ? 0 : h; head < (all_heads ? s.num_heads : h + 1); ++head)
        add_head<P>(one_head<S, T>(args, batch, head), bias, positions, target, scratch);
  }
}

}  // namespace
}  // namespace zeta::cpu
