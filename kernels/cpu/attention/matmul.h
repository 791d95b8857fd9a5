// The matrix product that all attention kernels are made of: C (m × n) += A (m × k) · B (k × n), in registers
// of the vector type V. B and C have contiguous rows; A has any strides, since its elements are broadcast.
#pragma once

#include <cstdint>

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

// 6 × 2 vectors of sums, 2 of B and 1 broadcast fill 15 of AVX2's 16 registers.
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;

template <class V, int kRows, int kVectors, Store kStore, class T>
inline void multiply_tile(LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c, int64_t depth) {
  V sums[kRows][kVectors];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[i][j] = V::broadcast(T(0));
  for (int64_t k = 0; k < depth; ++k) {
    V right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) right[j] = V::load(b.data + j * V::kWidth);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const V left = V::broadcast(a.data[i * a.row_stride]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] = multiply_add(left, right[j], sums[i][j]);
    }
    a.data += a.column_stride;
    b.data += b.row_stride;
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      T* target = c.data + i * c.row_stride + j * V::kWidth;
      if constexpr (kStore == Store::kAdd) sums[i][j] = sums[i][j] + V::load(target);
      sums[i][j].store(target);
    }
}

// All rows of one column panel, kVectors vectors wide.
template <class V, int kVectors, Store kStore, class T>
inline void multiply_panel(LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c, int64_t rows,
                           int64_t depth) {
  for (; rows >= kTileRows; rows -= kTileRows) {
    multiply_tile<V, kTileRows, kVectors, kStore>(a, b, c, depth);
    a.data += kTileRows * a.row_stride;
    c.data += kTileRows * c.row_stride;
  }
  switch (rows) {
    case 5:
      return multiply_tile<V, 5, kVectors, kStore>(a, b, c, depth);
    case 4:
      return multiply_tile<V, 4, kVectors, kStore>(a, b, c, depth);
    case 3:
      return multiply_tile<V, 3, kVectors, kStore>(a, b, c, depth);
    case 2:
      return multiply_tile<V, 2, kVectors, kStore>(a, b, c, depth);
    case 1:
      return multiply_tile<V, 1, kVectors, kStore>(a, b, c, depth);
  }
}

// `columns` is a multiple of V::kWidth.
template <class V, Store kStore, class T>
inline void multiply(LeftMatrix<T> a, RowMatrix<const T> b, RowMatrix<T> c, int64_t rows, int64_t columns,
                     int64_t depth) {
  constexpr int64_t kPanel = kTileVectors * V::kWidth;
  for (; columns >= kPanel; columns -= kPanel, b.data += kPanel, c.data += kPanel)
    multiply_panel<V, kTileVectors, kStore>(a, b, c, rows, depth);
  if (columns > 0) multiply_panel<V, 1, kStore>(a, b, c, rows, depth);
}

}  // namespace
}  // namespace zeta::cpu
