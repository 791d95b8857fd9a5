// The matrix product of matmul.h over pairs of bfloat16, with sums in fp32.
#pragma once

#include <cstring>

#include "kernels/cpu/attention/matmul.h"
#include "kernels/cpu/attention/pairs_bf16.h"
#include "kernels/cpu/attention/vector_avx512.h"

namespace zeta::cpu {
namespace {

struct LeftPairs {
  const BFloat16* data;
  int64_t row_stride;
  int64_t pair_stride;
};

struct RightPairs {  // [pair][2 · column]
  const BFloat16* data;
  int64_t pair_stride;
};

template <int kRows, int kVectors, Store kStore>
inline void multiply_pairs_tile(LeftPairs a, RightPairs b, RowMatrix<float> c, int64_t pairs, float scale) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[i][j] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; ++p) {
    __m512bh right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) right[j] = (__m512bh)_mm512_loadu_si512(b.data + int64_t{32} * j);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      int32_t pair;
      std::memcpy(&pair, a.data + i * a.row_stride, sizeof(pair));
      const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], left, right[j]);
    }
    a.data += a.pair_stride;
    b.data += b.pair_stride;
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      float* target = c.data + i * c.row_stride + int64_t{16} * j;
      const __m512 sum = kStore == Store::kAdd ? _mm512_add_ps(sums[i][j], _mm512_loadu_ps(target))
                                               : _mm512_mul_ps(sums[i][j], _mm512_set1_ps(scale));
      _mm512_storeu_ps(target, sum);
    }
}

// As the three of matmul.h; the first multiplies by `scale` too.
inline void multiply_score_pairs(const Staircase& stair, LeftPairs a, RightPairs b, RowMatrix<float> c,
                                 int64_t keys, int64_t lanes, int64_t pairs, float scale) {
  visit_tiles<Avx512Vector>(keys, lanes, [&]<int kRows, int kVectors>(int64_t key, int64_t lane) {
    const bool seen = key < stair.keys_before(lane + kVectors * Avx512Vector::kWidth - 1);
    multiply_pairs_tile<kRows, kVectors, Store::kOverwrite>(
        {a.data + key * a.row_stride, a.row_stride, a.pair_stride}, {b.data + 2 * lane, b.pair_stride},
        {c.data + key * c.row_stride + lane, c.row_stride}, seen ? pairs : 0, scale);
  });
}

inline void add_pairs_over_keys(const Staircase& stair, LeftPairs a, RightPairs b, RowMatrix<float> c,
                                int64_t rows, int64_t columns) {
  visit_tiles<Avx512Vector>(rows, columns, [&]<int kRows, int kVectors>(int64_t row, int64_t column) {
    multiply_pairs_tile<kRows, kVectors, Store::kAdd>(
        {a.data + row * a.row_stride, a.row_stride, a.pair_stride}, {b.data + 2 * column, b.pair_stride},
        {c.data + row * c.row_stride + column, c.row_stride}, half(stair.keys_before(row + kRows - 1)), 1);
  });
}

inline void add_pairs_over_rows(const Staircase& stair, LeftPairs a, RightPairs b, RowMatrix<float> c,
                                int64_t keys, int64_t columns, int64_t rows) {
  visit_tiles<Avx512Vector>(keys, columns, [&]<int kRows, int kVectors>(int64_t key, int64_t column) {
    const int64_t first = stair.first_row(key) / 2;
    multiply_pairs_tile<kRows, kVectors, Store::kAdd>(
        {a.data + key * a.row_stride + first * a.pair_stride, a.row_stride, a.pair_stride},
        {b.data + first * b.pair_stride + 2 * column, b.pair_stride},
        {c.data + key * c.row_stride + column, c.row_stride}, half(rows) - first, 1);
  });
}

}  // namespace
}  // namespace zeta::cpu
