// Tensor rows into scratch of the computing type and back.
#pragma once

#include "kernels/cpu/attention/block.h"
#include "kernels/cpu/attention/vector.h"

namespace zeta::cpu {
namespace {

// Widen n elements; what is left of the last vector becomes 0.
template <class V, class S, class T>
inline void load_row(const S* source, int64_t n, T* target) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::load(source + i).store(target + i);
  for (; i < n; ++i) target[i] = widen(source[i]);
  for (; i % V::kWidth != 0; ++i) target[i] = T(0);
}

template <class S, class T>
inline void store_row(const T* source, T scale, int64_t n, S* target) {
  for (int64_t i = 0; i < n; ++i) target[i] = Narrow<S>::from(source[i] * scale);
}

template <class V, class S, class T>
inline void load_keys(const AttentionInputs& in, const AttentionTensor& t, int64_t batch, int64_t head,
                      KeyBlock keys, int64_t dim, T* target) {
  while (keys.count > 0) {
    const KeyRun<S> run = key_run<S>(in, t, batch, head, keys);
    for (int64_t k = 0; k < run.count; ++k, target += padded(dim))
      load_row<V>(run.data + k * t.seq_stride, dim, target);
    keys = {keys.first + run.count, keys.count - run.count};
  }
}

// target[d][r] = scale · row r [d], d-major with kRowStride columns; columns beyond the block's rows, up to a
// whole vector, are 0.
template <class V, class S, class T>
inline void load_rows_transposed(const AttentionShape& shape, const AttentionTensor& t, const RowBlock& rows,
                                 int64_t dim, T scale, T* target) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const S* source = row_data<const S>(t, rows.batch, row_at(shape, rows, r));
    for (int64_t d = 0; d < dim; ++d) target[d * kRowStride + r] = widen(source[d]) * scale;
  }
  for (int64_t r = rows.count; r % V::kWidth != 0; ++r)
    for (int64_t d = 0; d < dim; ++d) target[d * kRowStride + r] = T(0);
}

template <class V, class S, class T>
inline void load_rows(const AttentionShape& shape, const AttentionTensor& t, const RowBlock& rows,
                      int64_t dim, T* target) {
  for (int64_t r = 0; r < rows.count; ++r)
    load_row<V>(row_data<const S>(t, rows.batch, row_at(shape, rows, r)), dim, target + r * padded(dim));
}

}  // namespace
}  // namespace zeta::cpu
