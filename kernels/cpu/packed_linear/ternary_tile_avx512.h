// What the AVX-512 VNNI and the AMX kernels of ternary weights share: 16 packed rows re-laid so that a vector
// holds four columns of each, and the way from sums to outputs. Everything here is static: files built for
// different instruction sets include it, and none may lend its machine code to another.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/packed_linear/ternary.h"
#include "kernels/cpu/packed_linear/transpose_avx512.h"
#include "kernels/cpu/scratch.h"

namespace zeta::cpu {

constexpr int64_t kTernaryTile = 16;  // packed rows of a tile: a lane each
// A byte is multiplied whole or masked, never shifted: at most 255 · 128 a column, so this many sums fit an
// int32.
constexpr int64_t kTernaryBlock = 65536;

static inline int32_t load_dword(const int8_t* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof four);
  return four;
}

static inline int64_t ternary_steps(int64_t k) { return (k + 63) / 64 * 16; }

// Packed rows [r, r + rows) into steps of 64 bytes, four columns of 16 rows each; zeros past rows and
// columns.
static inline void relay_ternary(const TernaryLinear& args, int64_t r, int64_t rows, uint8_t* tile) {
  for (int64_t k = 0; k < args.k; k += 64) {
    const int64_t count = args.k - k < 64 ? args.k - k : 64;
    const __mmask64 present = ~uint64_t{0} >> (64 - count);
    __m512i part[16];
    for (int64_t i = 0; i < 16; ++i) {
      part[i] = i < rows ? _mm512_maskz_loadu_epi8(present, args.packed + (r + i) * args.k + k)
                         : _mm512_setzero_si512();
    }
    transpose_dwords(part);
    for (int64_t i = 0; i < 16; ++i) _mm512_store_si512(tile + k * 16 + i * 64, part[i]);
  }
}

// The dots of row m with packed rows [r, r + 16) at quarter i; those that lanes leaves out are not written.
static inline void write_ternary(const TernaryLinear& args, int64_t m, int64_t r, int64_t i, __mmask16 lanes,
                                 __m512i dots) {
  const __m512i whole = _mm512_sub_epi32(dots, _mm512_set1_epi32(args.q_sum[m]));
  __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), _mm512_set1_ps(args.row_scale[m]));
  const int64_t column = r + i * (args.n / 4);
  if (args.bias != nullptr) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.bias + column));
  _mm512_mask_storeu_ps(args.out + m * args.n + column, lanes, y);
}

}  // namespace zeta::cpu
