// Sixteen floats in an AVX-512 register; the interface is described in vector.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/attention/element.h"

namespace zeta::cpu {
namespace {

struct Avx512Vector {
  using value_type = float;
  static constexpr int64_t kWidth = 16;
  __m512 v;

  static Avx512Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Avx512Vector load(const BFloat16* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
  }
  static Avx512Vector load(const Half* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Avx512Vector broadcast(float x) { return {_mm512_set1_ps(x)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  float sum() const { return _mm512_reduce_add_ps(v); }

  friend Avx512Vector operator+(Avx512Vector a, Avx512Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Avx512Vector operator-(Avx512Vector a, Avx512Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Avx512Vector operator*(Avx512Vector a, Avx512Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Avx512Vector multiply_add(Avx512Vector a, Avx512Vector b, Avx512Vector c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
  }
  friend Avx512Vector max(Avx512Vector a, Avx512Vector b) { return {_mm512_max_ps(a.v, b.v)}; }

  // As vector_avx2.h; the scaling underflows by itself.
  friend Avx512Vector exp2(Avx512Vector a) {
    const __m512 x = _mm512_max_ps(_mm512_set1_ps(-160.0f), a.v);
    const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.53533604e-4f);
    for (const float c :
         {1.33988750e-3f, 9.61843692e-3f, 5.55033237e-2f, 2.40226477e-1f, 6.93147182e-1f, 1.0f})
      p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(c));
    return {_mm512_scalef_ps(p, n)};
  }

  friend Avx512Vector tanh(Avx512Vector a) {
    const __m512 sign = _mm512_and_ps(a.v, _mm512_set1_ps(-0.0f)), one = _mm512_set1_ps(1);
    const __m512 e = exp2(Avx512Vector{_mm512_mul_ps(_mm512_abs_ps(a.v), _mm512_set1_ps(-2.88539008f))}).v;
    return {_mm512_or_ps(_mm512_div_ps(_mm512_sub_ps(one, e), _mm512_add_ps(one, e)), sign)};
  }
};

}  // namespace
}  // namespace zeta::cpu
