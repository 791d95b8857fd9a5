// What is added to a block of scores: the caller's bias, and ALiBi (Press et al., 2021).
#pragma once

#include <cmath>
#include <numbers>

#include "kernels/cpu/attention/block.h"
#include "kernels/cpu/attention/element.h"
#include "kernels/cpu/attention/scores.h"

namespace zeta::cpu {
namespace {

template <class E, class T>
inline void add_bias_of(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Scores<T> scores) {
  const AttentionBias& bias = in.bias;
  for (int64_t r = 0; r < rows.count; ++r) {
    const Row row = row_at(in.shape, rows, r);
    const E* source = static_cast<const E*>(bias.data) + rows.batch * bias.batch_stride +
                      row.head * bias.head_stride + row.position * bias.query_stride +
                      keys.first * bias.key_stride;
    for (int64_t k = 0; k < keys.count; ++k)
      scores.at(r, k) += std::numbers::log2e_v<T> * widen(source[k * bias.key_stride]);
  }
}

template <class S, class T>
inline void add_bias(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Scores<T> scores) {
  if (in.bias.wide)
    add_bias_of<T>(in, rows, keys, scores);
  else
    add_bias_of<S>(in, rows, keys, scores);
}

template <class T>
inline void add_alibi(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Scores<T> scores) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const Row row = row_at(in.shape, rows, r);
    const T slope = std::numbers::log2e_v<T> * in.alibi.data[rows.batch * in.alibi.batch_stride + row.head];
    const int64_t diagonal = row.position + in.shape.seq_k - in.shape.seq_q - keys.first;
    for (int64_t k = 0; k < keys.count; ++k)
      scores.at(r, k) -= slope * static_cast<T>(std::abs(diagonal - k));
  }
}

}  // namespace
}  // namespace zeta::cpu
