// 4-bit weights in few rows times activations as integers of Bytes signed bytes, with vpdpbusd: 64 products
// an instruction, and codes that are decoded once however many bytes there are.
//
// Lane i of a vector is word i: byte b of it holds the codes of columns 2 b and 2 b + 1. Static, see
// int4_scale.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4.h"

namespace zeta::cpu {
namespace {

// Not the intrinsic, with which gcc 12 copies the sum.
inline void int4_add_products(__m512i& sum, __m512i codes, __m512i x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(x));
}

template <int Bytes>
struct Int4Integers {
  alignas(64) int32_t even[Bytes][16], odd[Bytes][16];  // the highest byte first, four columns a lane
  alignas(64) int32_t offset[16];                       // −8 · Σx: codes are stored 8 too great
};

// The sums of each lane. No sum leaves int32: 8 · 15 · 2²³ < 2³⁰.
template <int Bytes, int Columns>
void int4_dot_integers(const __m512i (&words)[Columns], const Int4Integers<Bytes>& x,
                       __m512i (&sum)[Columns]) {
  const __m512i low = _mm512_set1_epi8(15), offset = _mm512_load_si512(x.offset);
  __m512i even[Columns], odd[Columns];
#pragma GCC unroll 4
  for (int column = 0; column < Columns; ++column) {
    even[column] = _mm512_and_si512(words[column], low);
    odd[column] = _mm512_and_si512(_mm512_srli_epi16(words[column], 4), low);
    sum[column] = Bytes == 1 ? offset : _mm512_setzero_si512();
  }
#pragma GCC unroll 4
  for (int byte = 0; byte < Bytes; ++byte) {
    const __m512i x_even = _mm512_load_si512(x.even[byte]), x_odd = _mm512_load_si512(x.odd[byte]);
#pragma GCC unroll 4
    for (int column = 0; column < Columns; ++column) {
      if (byte > 0) sum[column] = _mm512_slli_epi32(sum[column], 8);
      int4_add_products(sum[column], even[column], x_even);
      int4_add_products(sum[column], odd[column], x_odd);
    }
  }
#pragma GCC unroll 4
  for (int column = 0; column < Columns && Bytes > 1; ++column)
    sum[column] = _mm512_add_epi32(sum[column], offset);
}

}  // namespace
}  // namespace zeta::cpu
