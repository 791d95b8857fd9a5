// bfloat16 numbers in the pairs that AVX512-BF16 multiplies: one 32-bit lane holds two that are summed over.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/attention/block.h"
#include "kernels/cpu/attention/element.h"

namespace zeta::cpu {
namespace {

// Rows of bfloat16 scratch are this far apart: as padded(), in twice as many numbers a cache line.
inline int64_t padded_narrow(int64_t dim) { return (blocks(dim, 2 * kMaxWidth) | 1) * 2 * kMaxWidth; }

inline int64_t half(int64_t n) { return (n + 1) / 2; }

// The rest of the row is 0.
inline void copy_narrow(const BFloat16* source, int64_t n, BFloat16* target) {
  std::memcpy(target, source, static_cast<size_t>(n) * sizeof(BFloat16));
  std::memset(static_cast<void*>(target + n), 0,
              static_cast<size_t>(padded_narrow(n) - n) * sizeof(BFloat16));
}

// target[2j], target[2j + 1] = first[j], second[j]; `n` is a multiple of 16. No second: zeros.
inline void interleave(const BFloat16* first, const BFloat16* second, int64_t n, BFloat16* target) {
  const auto widened = [](const BFloat16* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  };
  for (int64_t j = 0; j < n; j += 16) {
    const __m512i high =
        second == nullptr ? _mm512_setzero_si512() : _mm512_slli_epi32(widened(second + j), 16);
    _mm512_storeu_si512(target + 2 * j, _mm512_or_si512(widened(first + j), high));
  }
}

// Rows (count × columns) in pairs of neighbouring rows: target[row / 2][2 · columns].
inline void pair_rows(const BFloat16* rows, int64_t stride, int64_t count, int64_t columns,
                      int64_t target_stride, BFloat16* target) {
  for (int64_t r = 0; r < count; r += 2)
    interleave(rows + r * stride, r + 1 < count ? rows + (r + 1) * stride : nullptr, round_up(columns, 16),
               target + r / 2 * target_stride);
}

// One row's numbers in pairs down a column: target[d / 2][2 · row].
inline void scatter_pairs(const BFloat16* source, int64_t dim, int64_t row, BFloat16* target) {
  for (int64_t d = 0; d < dim; d += 2) {
    BFloat16 pair[2] = {source[d], d + 1 < dim ? source[d + 1] : BFloat16{0}};
    std::memcpy(static_cast<void*>(target + d * kRowStride + 2 * row), pair, sizeof(pair));
  }
}

// [key][row] fp32 rounded, as it is; an odd last row gets a pair of 0.
inline void narrow_scores(const float* scores, int64_t keys, int64_t rows, int64_t lanes, BFloat16* target) {
  for (int64_t k = 0; k < keys; ++k, scores += kRowStride, target += kRowStride) {
    for (int64_t r = 0; r < lanes; r += 16)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + r),
                          (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(scores + r)));
    if (rows % 2 != 0) target[rows] = BFloat16{0};
  }
}

// [key][row] fp32 rounded, in pairs of neighbouring keys: target[key / 2][2 · row].
inline void pair_scores(const float* scores, int64_t keys, int64_t lanes, BFloat16* target) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i order = _mm512_load_si512(kOrder);
  for (int64_t k = 0; k < keys; k += 2)
    for (int64_t r = 0; r < lanes; r += 16) {
      const float* first = scores + k * kRowStride + r;
      const __m512 a = _mm512_loadu_ps(first);
      const __m512 b = k + 1 < keys ? _mm512_loadu_ps(first + kRowStride) : _mm512_setzero_ps();
      _mm512_storeu_si512(target + k * kRowStride + 2 * r,
                          _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a)));
    }
}

}  // namespace
}  // namespace zeta::cpu
