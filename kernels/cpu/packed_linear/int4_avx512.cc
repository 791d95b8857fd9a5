// 4-bit weights times fp32 activations.
#include "kernels/cpu/packed_linear/int4_few_avx512.h"
#include "kernels/cpu/packed_linear/int4_tile_avx512.h"

namespace zeta::cpu::avx512 {
namespace {

struct Float32 {
  using Args = Int4Linear;
  static constexpr int kSteps = 8;  // of a vector of words: a column of each

  static const float* x(const Int4Linear& args, int64_t row) { return args.x + row * args.k; }

  // Masked where it stands, nibble j < 7 of a word is (code + 8) · 16ʲ, which fp32 holds exactly; so the
  // activations that meet it are divided by 16ʲ. The last one, which would be the sign, is shifted. The 8
  // that is too much is taken back beforehand.
  struct Block {
    alignas(64) float x[kSteps][16];  // lane i belongs to word i
    alignas(64) float offset[16];
  };
  static void arrange(const float* x, int64_t words, Block& block) {
    block = {};
    for (int64_t lane = 0; lane < words; ++lane, x += 8) {
      float sum = 0, scale = 1;
      for (int64_t j = 0; j < kSteps; ++j, scale /= 16) {
        block.x[j][lane] = x[j] * (j < 7 ? scale : 1);
        sum += x[j];
      }
      block.offset[lane] = -8 * sum;
    }
  }
  template <int Columns>
  static void dot(const __m512i (&codes)[Columns], const Block& block, __m512 (&sum)[Columns]) {
    int4_dot_in_steps<Float32>(codes, block, sum);
  }
  static float finish(const Int4Linear& /*args*/, int64_t /*row*/, float y) { return y; }
  static __m512i decode_in_place(__m512i words, int step) {
    const __m512i codes =
        step < 7 ? _mm512_and_si512(words, _mm512_set1_epi32(15 << 4 * step)) : _mm512_srli_epi32(words, 28);
    return _mm512_castps_si512(_mm512_cvtepi32_ps(codes));
  }

  // A permutation looks at the low four bits of an index: it is mask, subtraction and conversion in one.
  static void decode_in_order(__m512i words, __m512i (&steps)[kSteps]) {
    const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
#pragma GCC unroll 8
    for (unsigned j = 0; j < kSteps; ++j) {
      steps[j] = _mm512_castps_si512(_mm512_permutexvar_ps(_mm512_srli_epi32(words, 4 * j), values));
    }
  }

  static __m512i broadcast(const float* x) { return _mm512_castps_si512(_mm512_set1_ps(*x)); }
  static void add(__m512& sum, __m512i weights, __m512i x) {
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(weights), _mm512_castsi512_ps(x), sum);
  }
};

}  // namespace

void int4_linear(const Int4Linear& args, int64_t begin, int64_t end) {
  if (args.m == 0) return;
  (args.m <= kInt4Few ? int4_few<Float32> : int4_tiles<Float32>)(args, begin, end);
}

}  // namespace zeta::cpu::avx512
