// 4-bit weights times bfloat16 activations: a code is a bfloat16, so vdpbf16ps multiplies 32 of them at once,
// exactly, and sums in fp32.
#include <cstring>

#include "kernels/cpu/packed_linear/int4_few_avx512.h"
#include "kernels/cpu/packed_linear/int4_tile_avx512.h"

namespace zeta::cpu::avx512_bf16 {
namespace {

// code + 8, in the low four bits of a 16-bit lane, as a bfloat16. A permutation of 32 lanes looks at a fifth
// bit too: both halves of the table are the same.
__m512i bfloat16_codes(__m512i lanes) {
  alignas(64) static constexpr uint16_t kValues[32] = {
      0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80,  // −8 … −1
      0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0,  // 0 … 7
      0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80,
      0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0};
  return _mm512_permutexvar_epi16(lanes, _mm512_load_si512(kValues));
}

struct BFloat16 {
  using Args = Int4Linear;
  static constexpr int kSteps = 4;  // of a vector of words: two columns of each

  static const uint16_t* x(const Int4Linear& args, int64_t row) { return args.x_bfloat16 + row * args.k; }

  // Below the exponent of 16, code + 8 is code + 24: a shift and a mask, which run on more of a core's units
  // than a permutation. The 24 is taken back beforehand. Columns j and j + 4 of a word are a step: they lie
  // in its two halves at the same place.
  struct Block {
    alignas(64) uint16_t x[kSteps][32];  // lanes 2 i and 2 i + 1 belong to word i
    alignas(64) float offset[16];
  };
  static void arrange(const uint16_t* x, int64_t words, Block& block) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000));
    __m512i pairs[16];  // after the transposition the first four: columns 2 i and 2 i + 1 of every word
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      pairs[i] = _mm512_setzero_si512();
      if (i < words)
        pairs[i] =
            _mm512_zextsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + ptrdiff_t{i} * 8)));
    }
    transpose_dwords(pairs);
    __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      sum = _mm512_add_ps(sum, _mm512_castsi512_ps(_mm512_slli_epi32(pairs[i], 16)));
      sum = _mm512_add_ps(sum, _mm512_castsi512_ps(_mm512_and_si512(pairs[i], upper)));
    }
    for (ptrdiff_t i = 0; i < 2; ++i) {
      _mm512_store_si512(block.x[2 * i],
                         _mm512_mask_blend_epi16(0xaaaaaaaau, pairs[i], _mm512_slli_epi32(pairs[i + 2], 16)));
      _mm512_store_si512(block.x[2 * i + 1],
                         _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(pairs[i], 16), pairs[i + 2]));
    }
    _mm512_store_ps(block.offset, _mm512_mul_ps(sum, _mm512_set1_ps(-24)));
  }
  template <int Columns>
  static void dot(const __m512i (&codes)[Columns], const Block& block, __m512 (&sum)[Columns]) {
    int4_dot_in_steps<BFloat16>(codes, block, sum);
  }
  static float finish(const Int4Linear& /*args*/, int64_t /*row*/, float y) { return y; }
  static __m512i decode_in_place(__m512i words, int step) {
    const __m512i shifted = step == 0 ? _mm512_slli_epi16(words, 3)
                                      : _mm512_srli_epi16(words, static_cast<unsigned>(4 * step - 3));
    constexpr int kFirstAndSecondOrThird = 0xea;
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi16(15 << 3), _mm512_set1_epi16(0x4180),
                                     kFirstAndSecondOrThird);
  }

  // Columns 2 j and 2 j + 1 are a step.
  static void decode_in_order(__m512i words, __m512i (&steps)[kSteps]) {
#pragma GCC unroll 4
    for (unsigned j = 0; j < kSteps; ++j) {
      const __m512i low = _mm512_srli_epi32(words, 8 * j),
                    high = _mm512_slli_epi32(_mm512_srli_epi32(low, 4), 16);
      steps[j] = bfloat16_codes(_mm512_mask_blend_epi16(0xaaaaaaaau, low, high));
    }
  }

  static __m512i broadcast(const uint16_t* x) {
    int32_t pair;
    std::memcpy(&pair, x, sizeof pair);
    return _mm512_set1_epi32(pair);
  }
  // Not the intrinsic, with which gcc 12 copies the sum.
  static void add(__m512& sum, __m512i weights, __m512i x) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(x));
  }
};

}  // namespace

void int4_linear(const Int4Linear& args, int64_t begin, int64_t end) {
  if (args.m == 0) return;
  (args.m <= kInt4Few ? int4_few<BFloat16> : int4_tiles<BFloat16>)(args, begin, end);
}

}  // namespace zeta::cpu::avx512_bf16
