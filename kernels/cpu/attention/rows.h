// Where a row's online softmax starts and how it ends.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cpu/attention/copy.h"

namespace zeta::cpu {
namespace {

// A sink is a score that has been seen before the first key; `count` may go beyond the block's rows.
template <class T>
inline void start_rows(const AttentionInputs& in, const RowBlock& rows, int64_t count, T* maximum, T* sum) {
  for (int64_t r = 0; r < count; ++r) {
    maximum[r] = -std::numeric_limits<T>::infinity();
    sum[r] = T(0);
    if (in.sinks == nullptr || r >= rows.count) continue;
    maximum[r] = static_cast<const T*>(in.sinks)[row_at(in.shape, rows, r).head] * std::numbers::log2e_v<T>;
    if (maximum[r] != -std::numeric_limits<T>::infinity()) sum[r] = T(1);
  }
}

// Divide a finished row by its sum and write it with its log-sum-exp.
template <class S, class T>
inline void store_result(const AttentionForward& args, const RowBlock& rows, int64_t r, const T* sums,
                         T maximum, T sum) {
  const AttentionShape& s = args.inputs.shape;
  const Row row = row_at(s, rows, r);
  store_row(sums, sum == T(0) ? T(0) : T(1) / sum, s.value_dim, row_data<S>(args.out, rows.batch, row));
  row_value<T>(args.lse, rows.batch, row) = (maximum + std::log2(sum)) * std::numbers::ln2_v<T>;
}

}  // namespace
}  // namespace zeta::cpu
