// Eight floats in an AVX2 register; the interface is described in vector.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/attention/element.h"

namespace zeta::cpu {
namespace {

struct Avx2Vector {
  using value_type = float;
  static constexpr int64_t kWidth = 8;
  __m256 v;

  static Avx2Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Avx2Vector load(const BFloat16* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16))};
  }
  static Avx2Vector load(const Half* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static Avx2Vector broadcast(float x) { return {_mm256_set1_ps(x)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  float sum() const {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }

  friend Avx2Vector operator+(Avx2Vector a, Avx2Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Avx2Vector operator-(Avx2Vector a, Avx2Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Avx2Vector operator*(Avx2Vector a, Avx2Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Avx2Vector multiply_add(Avx2Vector a, Avx2Vector b, Avx2Vector c) {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
  }
  friend Avx2Vector max(Avx2Vector a, Avx2Vector b) { return {_mm256_max_ps(a.v, b.v)}; }

  // 2ⁿ · 2ᶠ with n the nearest integer and |f| ≤ ½; the polynomial is minimax in relative error (2e-9 before
  // rounding). Below 2⁻¹²⁶ the result is flushed to 0.
  friend Avx2Vector exp2(Avx2Vector a) {
    const __m256 x = _mm256_min_ps(_mm256_set1_ps(128.0f), a.v);
    const __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 f = _mm256_sub_ps(x, n);
    __m256 p = _mm256_set1_ps(1.53533604e-4f);
    for (const float c :
         {1.33988750e-3f, 9.61843692e-3f, 5.55033237e-2f, 2.40226477e-1f, 6.93147182e-1f, 1.0f})
      p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(c));
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    const __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(-126.0f), _CMP_LT_OQ);
    return {_mm256_andnot_ps(tiny, _mm256_mul_ps(p, power))};
  }

  // (1 - e) / (1 + e) with e = exp(-2 |x|), and the sign of x.
  friend Avx2Vector tanh(Avx2Vector a) {
    const __m256 sign = _mm256_and_ps(a.v, _mm256_set1_ps(-0.0f)), one = _mm256_set1_ps(1);
    const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v);
    const __m256 e = exp2(Avx2Vector{_mm256_mul_ps(size, _mm256_set1_ps(-2.88539008f))}).v;
    return {_mm256_or_ps(_mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e)), sign)};
  }
};

}  // namespace
}  // namespace zeta::cpu
