// From products to scores: softcap, then bias and ALiBi, then what may not attend. Scores are in powers of
// two: times log2 e.
#pragma once

#include <numbers>

#include "kernels/cpu/attention/bias.h"
#include "kernels/cpu/attention/exclude.h"

namespace zeta::cpu {
namespace {

// What queries are multiplied by before they meet keys.
template <class T>
inline T query_scale(const AttentionInputs& in) {
  return static_cast<T>(in.softcap > 0 ? in.softmax_scale / in.softcap
                                       : in.softmax_scale * std::numbers::log2e);
}

// Lanes of whole vectors are written; slopes, of the same layout, get the derivative 1 - tanh² if there are
// any.
template <class V, class T>
inline void cap_scores(double softcap, int64_t lines, int64_t lanes, int64_t stride, T* scores, T* slopes) {
  const V height = V::broadcast(static_cast<T>(softcap * std::numbers::log2e)), one = V::broadcast(T(1));
  for (int64_t line = 0; line < lines; ++line)
    for (int64_t i = line * stride; i < line * stride + lanes; i += V::kWidth) {
      const V t = tanh(V::load(scores + i));
      (t * height).store(scores + i);
      if (slopes != nullptr) (one - t * t).store(slopes + i);
    }
}

template <class V, class S, class T>
inline void modify_scores(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Coverage mask,
                          Scores<T> scores, T* slopes = nullptr) {
  if (in.softcap > 0) {
    const bool by_key = scores.row_stride == 1;
    cap_scores<V>(in.softcap, by_key ? keys.count : rows.count,
                  round_up(by_key ? rows.count : keys.count, V::kWidth),
                  by_key ? scores.key_stride : scores.row_stride, scores.data, slopes);
  }
  if (in.bias.data != nullptr) add_bias<S>(in, rows, keys, scores);
  if (in.alibi.data != nullptr) add_alibi(in, rows, keys, scores);
  exclude(in, rows, keys, mask, scores);
}

}  // namespace
}  // namespace zeta::cpu
