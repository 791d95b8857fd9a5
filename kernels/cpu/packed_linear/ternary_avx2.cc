#include <immintrin.h>

#include "kernels/cpu/packed_linear/ternary.h"

namespace zeta::cpu::avx2 {
namespace {

constexpr int64_t kStep = 32;     // bytes of a vector
constexpr int64_t kTileM = 64;    // rows of activations that share a tile
constexpr int64_t kTileR = 4;     // packed rows of a tile
constexpr int64_t kTileK = 1024;  // 32 steps: each adds at most 2 · 2 · 128 to an int16, so 63 would be safe

struct Tile {
  alignas(32) uint8_t codes[kTileR][4][kTileK];
  alignas(32) int32_t sums[kTileM][kTileR][4];
};

struct Codes {
  __m256i row[4];
};

__m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

Codes split(__m256i packed) {
  const __m256i low = _mm256_set1_epi8(3);
  return {{_mm256_and_si256(packed, low), _mm256_and_si256(_mm256_srli_epi16(packed, 2), low),
           _mm256_and_si256(_mm256_srli_epi16(packed, 4), low),
           _mm256_and_si256(_mm256_srli_epi16(packed, 6), low)}};
}

// The last count < 32 bytes, followed by zeros.
__m256i load_tail(const uint8_t* from, int64_t count) {
  alignas(32) uint8_t padded[kStep] = {};
  for (int64_t k = 0; k < count; ++k) padded[k] = from[k];
  return load(padded);
}

__m256i accumulate(__m256i sum, __m256i codes, __m256i q) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, q));
}

__m256i widen(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }

// The four vectors' sums of int32.
__m128i reduce(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

// One packed row times one row of activations, decoded in registers.
__m128i dot_packed(const uint8_t* packed, const int8_t* q, int64_t k) {
  __m256i total[4] = {}, sum[4] = {};
  const auto step = [&](__m256i bits, const int8_t* from) {
    const Codes codes = split(bits);
    const __m256i activations = load(from);
    for (int j = 0; j < 4; ++j) sum[j] = accumulate(sum[j], codes.row[j], activations);
  };
  const auto flush = [&] {
    for (int j = 0; j < 4; ++j) total[j] = _mm256_add_epi32(total[j], widen(sum[j]));
    for (__m256i& part : sum) part = _mm256_setzero_si256();
  };
  const int64_t whole = k / kStep * kStep;
  for (int64_t start = 0; start < whole; start += kTileK) {
    const int64_t stop = start + kTileK < whole ? start + kTileK : whole;
    for (int64_t i = start; i < stop; i += kStep) step(load(packed + i), q + i);
    flush();
  }
  if (whole < k) step(load_tail(packed + whole, k - whole), q + whole);
  flush();
  return reduce(total[0], total[1], total[2], total[3]);
}

// count columns of a packed row into the tile; codes past them are 0 and add nothing.
void unpack(const uint8_t* packed, int64_t count, uint8_t (&codes)[4][kTileK]) {
  for (int64_t i = 0; i < count; i += kStep) {
    const Codes part = split(i + kStep <= count ? load(packed + i) : load_tail(packed + i, count - i));
    for (int j = 0; j < 4; ++j) _mm256_store_si256(reinterpret_cast<__m256i*>(codes[j] + i), part.row[j]);
  }
}

// The compiler would load a value again for every use, and the loads would bound the loop.
__m256i in_register(__m256i value) {
  asm("" : "+x"(value));
  return value;
}

// Four unpacked rows times Rows rows of activations, added to the sums of a packed row.
template <int Rows>
void dot_tile(const uint8_t (&codes)[4][kTileK], const int8_t* q, int64_t q_stride, int64_t count,
              int32_t* sums) {
  __m256i sum[Rows][4] = {};
  for (int64_t i = 0; i < count; i += kStep) {
    const Codes four = {{in_register(load(codes[0] + i)), in_register(load(codes[1] + i)),
                         in_register(load(codes[2] + i)), in_register(load(codes[3] + i))}};
#pragma GCC unroll 2
    for (int row = 0; row < Rows; ++row) {
      const __m256i activations = load(q + row * q_stride + i);
      for (int j = 0; j < 4; ++j) sum[row][j] = accumulate(sum[row][j], four.row[j], activations);
    }
  }
#pragma GCC unroll 2
  for (int row = 0; row < Rows; ++row) {
    __m128i* to = reinterpret_cast<__m128i*>(sums + row * kTileR * 4);
    const __m128i dots =
        reduce(widen(sum[row][0]), widen(sum[row][1]), widen(sum[row][2]), widen(sum[row][3]));
    _mm_store_si128(to, _mm_add_epi32(_mm_load_si128(to), dots));
  }
}

void write(const TernaryLinear& args, int64_t m, int64_t r, const int32_t* dots) {
  for (int64_t i = 0; i < 4; ++i) {
    const int64_t column = r + i * (args.n / 4);
    const float y = static_cast<float>(dots[i] - args.q_sum[m]) * args.row_scale[m];
    args.out[m * args.n + column] = args.bias == nullptr ? y : y + args.bias[column];
  }
}

void linear_vector(const TernaryLinear& args, int64_t begin, int64_t end) {
  alignas(16) int32_t dots[4];
  for (int64_t r = begin; r < end; ++r) {
    _mm_store_si128(reinterpret_cast<__m128i*>(dots), dot_packed(args.packed + r * args.k, args.q, args.k));
    write(args, 0, r, dots);
  }
}

// Activations [m0, m0 + rows) times packed rows [r0, r0 + packed_rows).
void linear_tile(const TernaryLinear& args, int64_t m0, int64_t rows, int64_t r0, int64_t packed_rows,
                 Tile& tile) {
  for (int64_t m = 0; m < rows; ++m) {
    for (auto& sums : tile.sums[m]) _mm_store_si128(reinterpret_cast<__m128i*>(sums), _mm_setzero_si128());
  }
  for (int64_t k0 = 0; k0 < args.k; k0 += kTileK) {
    const int64_t count = args.k - k0 < kTileK ? args.k - k0 : kTileK;
    for (int64_t j = 0; j < packed_rows; ++j)
      unpack(args.packed + (r0 + j) * args.k + k0, count, tile.codes[j]);
    for (int64_t m = 0; m < rows; m += 2) {
      const int8_t* q = args.q + (m0 + m) * args.q_stride + k0;
      const auto dot = m + 1 < rows ? dot_tile<2> : dot_tile<1>;
      for (int64_t j = 0; j < packed_rows; ++j) dot(tile.codes[j], q, args.q_stride, count, tile.sums[m][j]);
    }
  }
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t j = 0; j < packed_rows; ++j) write(args, m0 + m, r0 + j, tile.sums[m][j]);
  }
}

}  // namespace

void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end) {
  if (args.m == 1) return linear_vector(args, begin, end);
  Tile tile;
  for (int64_t m0 = 0; m0 < args.m; m0 += kTileM) {
    const int64_t rows = args.m - m0 < kTileM ? args.m - m0 : kTileM;
    for (int64_t r = begin; r < end; r += kTileR) {
      linear_tile(args, m0, rows, r, end - r < kTileR ? end - r : kTileR, tile);
    }
  }
}

}  // namespace zeta::cpu::avx2
