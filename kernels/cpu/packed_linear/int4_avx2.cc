#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4.h"
#include "kernels/cpu/packed_linear/int4_scale.h"
#include "kernels/cpu/quantize/scale.h"

namespace zeta::cpu::avx2 {
namespace {

constexpr int64_t kTileM = 64, kTileN = 8, kTileK = 512;  // the weights of a tile, 16 KiB, stay in L1

struct Tile {
  alignas(32) float weights[kTileN][kTileK];
  alignas(32) float sums[kTileM][kTileN];
};

__m256 decode(uint32_t word, float scale) {
  const __m256i nibbles = _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int32_t>(word)),
                                            _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
  const __m256i codes =
      _mm256_sub_epi32(_mm256_and_si256(nibbles, _mm256_set1_epi32(15)), _mm256_set1_epi32(8));
  return _mm256_mul_ps(_mm256_cvtepi32_ps(codes), _mm256_set1_ps(scale));
}

void unpack(const Int4Linear& args, int64_t n, int64_t k0, int64_t count, float* weights) {
  const int64_t words = args.k / 8, words_per_group = args.group_size / 8, groups = words / words_per_group;
  for (int64_t word = k0 / 8; word < (k0 + count) / 8; ++word) {
    const float scale = int4_scale_at(args, n * groups + word / words_per_group);
    _mm256_store_ps(weights + (word * 8 - k0), decode(args.packed[n * words + word], scale));
  }
}

// The four vectors' sums.
__m128 reduce(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

// The compiler would load a value again for every use, and the loads would bound the loop.
__m256 in_register(__m256 value) {
  asm("" : "+x"(value));
  return value;
}

// Four rows of the tile times Rows rows of activations, added to sums.
template <int Rows>
void dot_tile(const float (*weights)[kTileK], const float* x, int64_t x_stride, int64_t count, float* sums) {
  __m256 sum[Rows][4] = {};
  for (int64_t k = 0; k < count; k += 8) {
    __m256 activations[Rows];
#pragma GCC unroll 3
    for (int row = 0; row < Rows; ++row)
      activations[row] = in_register(_mm256_loadu_ps(x + row * x_stride + k));
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m256 weight = in_register(_mm256_load_ps(weights[j] + k));
#pragma GCC unroll 3
      for (int row = 0; row < Rows; ++row)
        sum[row][j] = _mm256_fmadd_ps(activations[row], weight, sum[row][j]);
    }
  }
#pragma GCC unroll 3
  for (int row = 0; row < Rows; ++row) {
    float* to = sums + row * kTileN;
    const __m128 dots = reduce(sum[row][0], sum[row][1], sum[row][2], sum[row][3]);
    _mm_store_ps(to, _mm_add_ps(_mm_load_ps(to), dots));
  }
}

void dot_rows(int64_t rows, const float (*weights)[kTileK], const float* x, int64_t x_stride, int64_t count,
              float* sums) {
  if (rows >= 3) return dot_tile<3>(weights, x, x_stride, count, sums);
  if (rows == 2) return dot_tile<2>(weights, x, x_stride, count, sums);
  dot_tile<1>(weights, x, x_stride, count, sums);
}

// Activations [m0, m0 + rows) times columns [n0, n0 + columns) of the output.
void linear_tile(const Int4Linear& args, int64_t m0, int64_t rows, int64_t n0, int64_t columns, Tile& tile) {
  for (int64_t m = 0; m < rows; ++m) _mm256_store_ps(tile.sums[m], _mm256_setzero_ps());
  for (int64_t k0 = 0; k0 < args.k; k0 += kTileK) {
    const int64_t count = args.k - k0 < kTileK ? args.k - k0 : kTileK;
    for (int64_t n = 0; n < columns; ++n) unpack(args, n0 + n, k0, count, tile.weights[n]);
    for (int64_t m = 0; m < rows; m += 3) {
      const float* x = args.x + (m0 + m) * args.k + k0;
      for (int64_t n = 0; n < columns; n += 4) {
        dot_rows(rows - m, tile.weights + n, x, args.k, count, tile.sums[m] + n);
      }
    }
  }
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t n = 0; n < columns; ++n) {
      const float y = tile.sums[m][n];
      args.out[(m0 + m) * args.n + n0 + n] = args.bias == nullptr ? y : y + args.bias[n0 + n];
    }
  }
}

}  // namespace

void int4_linear(const Int4Linear& args, int64_t begin, int64_t end) {
  if (args.m == 1) return int4_linear_vector(args, begin, end);
  Tile tile = {};  // columns that a narrow last tile leaves out are computed and dropped
  for (int64_t m0 = 0; m0 < args.m; m0 += kTileM) {
    const int64_t rows = args.m - m0 < kTileM ? args.m - m0 : kTileM;
    for (int64_t n = begin; n < end; n += kTileN) {
      linear_tile(args, m0, rows, n, end - n < kTileN ? end - n : kTileN, tile);
    }
  }
}

}  // namespace zeta::cpu::avx2
