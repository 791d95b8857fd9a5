// 4-bit weights times a few rows of activations in integers; many rows of floats go the way of AVX-512, many
// of int8 that of int4_int8_avx512_vnni.cc.
#include "kernels/cpu/packed_linear/int4_few_avx512.h"
#include "kernels/cpu/packed_linear/int4_int8_tiles.h"
#include "kernels/cpu/packed_linear/int4_integers_avx512.h"
#include "kernels/cpu/packed_linear/transpose_avx512.h"

namespace zeta::cpu::avx512_vnni {
namespace {

// The eight activations of a word share a step, so that each is a whole number of 24 bits: fp32's own
// precision for the greatest. The products are exact then, and so are the sums of eight.
struct Fixed24 {
  using Args = Int4Linear;
  struct Block : Int4Integers<3> {
    alignas(64) float step[16];
  };

  static const float* x(const Int4Linear& args, int64_t row) { return args.x + row * args.k; }

  // Three signed bytes hold ±8355711; less, so that no rounding of the division leaves them.
  static constexpr float kMost = 8355000;
  // Steps stay normal numbers, and what is divided by them finite.
  static constexpr float kLeast = 0x1p-100f;

  static void arrange(const float* x, int64_t words, Block& block) {
    constexpr int kNanOrInfinity = 0x99;
    __m512i columns[16];  // the first eight, after the transposition
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      columns[i] = _mm512_setzero_si512();
      if (i < words)
        columns[i] = _mm512_zextsi256_si512(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + ptrdiff_t{i} * 8)));
    }
    transpose_dwords(columns);
    __m512 values[8], greatest = _mm512_set1_ps(kLeast);
    __mmask16 bad = 0;
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      values[j] = _mm512_castsi512_ps(columns[j]);
      greatest = _mm512_max_ps(greatest, _mm512_abs_ps(values[j]));
      bad = static_cast<__mmask16>(bad | _mm512_fpclass_ps_mask(values[j], kNanOrInfinity));
    }
    const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(kMost), greatest);
    const __m512 step = _mm512_div_ps(greatest, _mm512_set1_ps(kMost));
    _mm512_store_ps(block.step, _mm512_mask_blend_ps(bad, step, _mm512_set1_ps(__builtin_nanf(""))));
    __m512i sum = _mm512_setzero_si512(), bytes[3][2];
    for (auto& byte : bytes) byte[0] = byte[1] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (unsigned j = 0; j < 8; ++j) {
      __m512i left = _mm512_cvtps_epi32(_mm512_mul_ps(values[j], inverse));
      sum = _mm512_add_epi32(sum, left);
#pragma GCC unroll 3
      for (int i = 2; i >= 0; --i) {
        const __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(left, 24), 24);
        left = _mm512_srai_epi32(_mm512_sub_epi32(left, digit), 8);
        const __m512i placed = _mm512_slli_epi32(_mm512_and_si512(digit, _mm512_set1_epi32(255)), j / 2 * 8);
        bytes[i][j % 2] = _mm512_or_si512(bytes[i][j % 2], placed);
      }
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      _mm512_store_si512(block.even[i], bytes[i][0]);
      _mm512_store_si512(block.odd[i], bytes[i][1]);
    }
    _mm512_store_si512(block.offset, _mm512_slli_epi32(_mm512_sub_epi32(_mm512_setzero_si512(), sum), 3));
  }

  template <int Columns>
  static void dot(const __m512i (&words)[Columns], const Block& block, __m512 (&sum)[Columns]) {
    __m512i whole[Columns];
    int4_dot_integers<3>(words, block, whole);
    const __m512 step = _mm512_load_ps(block.step);
#pragma GCC unroll 4
    for (int column = 0; column < Columns; ++column)
      sum[column] = _mm512_mul_ps(_mm512_cvtepi32_ps(whole[column]), step);
  }
  static float finish(const Int4Linear& /*args*/, int64_t /*row*/, float y) { return y; }
};

struct Int8 {
  using Args = Int4Int8Linear;
  using Block = Int4Integers<1>;

  static const int8_t* x(const Int4Int8Linear& args, int64_t row) { return args.q + row * args.q_stride; }

  static void arrange(const int8_t* q, int64_t words, Block& block) {
    const __m512i eight = _mm512_set1_epi8(8);
    __m512i even = _mm512_setzero_si512(), odd = even, sum = even;
    for (int64_t half = 0; half < 2 && half * 8 < words; ++half) {
      const int64_t bytes = (words - half * 8 < 8 ? words - half * 8 : 8) * 8;
      const __m512i pairs = _mm512_maskz_loadu_epi8(~uint64_t{0} >> (64 - bytes), q + half * 64);
      const __m256i first = _mm512_cvtepi16_epi8(pairs),
                    second = _mm512_cvtepi16_epi8(_mm512_srli_epi16(pairs, 8));
      even = half == 0 ? _mm512_inserti64x4(even, first, 0) : _mm512_inserti64x4(even, first, 1);
      odd = half == 0 ? _mm512_inserti64x4(odd, second, 0) : _mm512_inserti64x4(odd, second, 1);
    }
    int4_add_products(sum, eight, even);
    int4_add_products(sum, eight, odd);
    _mm512_store_si512(block.even[0], even);
    _mm512_store_si512(block.odd[0], odd);
    _mm512_store_si512(block.offset, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
  }

  template <int Columns>
  static void dot(const __m512i (&words)[Columns], const Block& block, __m512 (&sum)[Columns]) {
    __m512i whole[Columns];
    int4_dot_integers<1>(words, block, whole);
#pragma GCC unroll 4
    for (int column = 0; column < Columns; ++column) sum[column] = _mm512_cvtepi32_ps(whole[column]);
  }
  static float finish(const Int4Int8Linear& args, int64_t row, float y) { return y * args.row_scale[row]; }
};

}  // namespace

void int4_linear(const Int4Linear& args, int64_t begin, int64_t end) {
  if (args.m == 0) return;
  if (args.m > kInt4Few) return avx512::int4_linear(args, begin, end);
  int4_few<Fixed24>(args, begin, end);
}

void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end) {
  if (args.m == 0) return;
  if (args.m > kInt4Few) return int4_int8_tiles(args, begin, end);
  int4_few<Int8>(args, begin, end);
}

}  // namespace zeta::cpu::avx512_vnni
