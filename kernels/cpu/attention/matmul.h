// The matrix product that attention kernels are made of: C (m × n) += A (m × k) · B (k × n), in registers of
// the vector type V. B and C have contiguous rows; A has any strides, since its elements are broadcast.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/staircase.h"
#include "kernels/cpu/attention/tiles.h"

namespace zeta::cpu {
namespace {

template <class T>
struct LeftMatrix {
  const T* data;
  int64_t row_stride;
  int64_t column_stride;
};

template <class T>
struct RowMatrix {
  T* data;
  int64_t row_stride;
};

enum class Store { kOverwrite, kAdd };

template <class V, int kRows, int kVectors, Store kStore, class T>
inline void multiply_tile(LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c, int64_t depth) {
  V sums[kRows][kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[i][j] = V::broadcast(T(0));
  for (int64_t k = 0; k < depth; ++k) {
    V right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) right[j] = V::load(b.data + j * V::kWidth);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const V left = V::broadcast(a.data[i * a.row_stride]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] = multiply_add(left, right[j], sums[i][j]);
    }
    a.data += a.column_stride;
    b.data += b.row_stride;
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      T* target = c.data + i * c.row_stride + j * V::kWidth;
      if constexpr (kStore == Store::kAdd) sums[i][j] = sums[i][j] + V::load(target);
      sums[i][j].store(target);
    }
}

// Of C = A · B, with keys along C's rows and query rows along its columns, what the stair leaves; 0
// elsewhere. `lanes` is a multiple of V::kWidth.
template <class V, class T>
inline void multiply_scores(const Staircase& stair, LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c,
                            int64_t keys, int64_t lanes, int64_t depth) {
  visit_tiles<V>(keys, lanes, [&]<int kRows, int kVectors>(int64_t key, int64_t lane) {
    const bool seen = key < stair.keys_before(lane + kVectors * V::kWidth - 1);
    multiply_tile<V, kRows, kVectors, Store::kOverwrite, T>(
        {a.data + key * a.row_stride, a.row_stride, a.column_stride}, {b.data + lane, b.row_stride},
        {c.data + key * c.row_stride + lane, c.row_stride}, seen ? depth : 0);
  });
}

// C += A · B, with query rows along C's rows, summed over the keys that the stair leaves.
template <class V, class T>
inline void add_over_keys(const Staircase& stair, LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c,
                          int64_t rows, int64_t columns) {
  visit_tiles<V>(rows, columns, [&]<int kRows, int kVectors>(int64_t row, int64_t column) {
    multiply_tile<V, kRows, kVectors, Store::kAdd, T>(
        {a.data + row * a.row_stride, a.row_stride, a.column_stride}, {b.data + column, b.row_stride},
        {c.data + row * c.row_stride + column, c.row_stride}, stair.keys_before(row + kRows - 1));
  });
}

// C += A · B, with keys along C's rows, summed over the query rows that the stair leaves of `rows`.
template <class V, class T>
inline void add_over_rows(const Staircase& stair, LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c,
                          int64_t keys, int64_t columns, int64_t rows) {
  visit_tiles<V>(keys, columns, [&]<int kRows, int kVectors>(int64_t key, int64_t column) {
    const int64_t first = stair.first_row(key);
    multiply_tile<V, kRows, kVectors, Store::kAdd, T>(
        {a.data + key * a.row_stride + first * a.column_stride, a.row_stride, a.column_stride},
        {b.data + first * b.row_stride + column, b.row_stride},
        {c.data + key * c.row_stride + column, c.row_stride}, rows - first);
  });
}

}  // namespace
}  // namespace zeta::cpu
