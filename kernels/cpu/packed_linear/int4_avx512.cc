// 4-bit weights times fp32 activations.
#include "kernels/cpu/packed_linear/int4_few_avx512.h"
#include "kernels/cpu/packed_linear/int4_tile_avx512.h"

namespace zeta::cpu::avx512 {
namespace {

struct Float32 {
  using Element = float;
  static constexpr int kSteps = 8;  // of a vector of words: a column of each

  static const float* x(const Int4Linear& args) { return args.x; }

  // Where column k belongs: lanes are words, steps are the columns of a word.
  static int64_t place(int64_t k) { return k / 128 * 128 + k % 8 * 16 + k % 128 / 8; }

  // A permutation looks at the low four bits of an index: it is mask, subtraction and conversion in one.
  static void decode(__m512i words, __m512i (&steps)[kSteps]) {
    const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
#pragma GCC unroll 8
    for (unsigned j = 0; j < kSteps; ++j) {
      steps[j] = _mm512_castps_si512(_mm512_permutexvar_ps(_mm512_srli_epi32(words, 4 * j), values));
    }
  }
  static void decode_in_order(__m512i words, __m512i (&steps)[kSteps]) { decode(words, steps); }

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
