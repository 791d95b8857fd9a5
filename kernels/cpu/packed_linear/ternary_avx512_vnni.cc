// Ternary weights times int8 activations with vpdpbusd, 64 products an instruction.
//
// A packed byte b holds the codes of four rows. b, b mod 64, b mod 16 and b mod 4 are the weights of four
// products; their differences are the rows' sums times 64, 16, 4 and 1: no code is shifted into place.
#include "kernels/cpu/packed_linear/ternary_tile_avx512.h"

namespace zeta::cpu::avx512_vnni {
namespace {

constexpr int64_t kFew = 4;           // rows of activations up to which weights are used where they lie
constexpr int64_t kRegisterRows = 6;  // rows of activations that share a vector of weights

struct Parts {
  __m512i of[4];
};

inline Parts split(__m512i packed) {
  return {{_mm512_and_si512(packed, _mm512_set1_epi8(3)), _mm512_and_si512(packed, _mm512_set1_epi8(15)),
           _mm512_and_si512(packed, _mm512_set1_epi8(63)), packed}};
}

// One packed row times Rows rows of activations.
template <int Rows>
void few_row(const TernaryLinear& args, int64_t r) {
  const uint8_t* packed = args.packed + r * args.k;
  __m128i total[Rows] = {};
  for (int64_t k0 = 0; k0 < args.k; k0 += kTernaryBlock) {
    const int64_t end = args.k - k0 < kTernaryBlock ? args.k : k0 + kTernaryBlock;
    __m512i sum[Rows][4] = {};
    const auto step = [&](__m512i bytes, int64_t k) {
      const Parts parts = split(bytes);
#pragma GCC unroll 4
      for (int row = 0; row < Rows; ++row) {
        const __m512i q = _mm512_loadu_si512(args.q + row * args.q_stride + k);
        for (int i = 0; i < 4; ++i) sum[row][i] = _mm512_dpbusd_epi32(sum[row][i], parts.of[i], q);
      }
    };
    int64_t k = k0;
    for (; k + 64 <= end; k += 64) step(_mm512_loadu_si512(packed + k), k);
    if (k < end) step(_mm512_maskz_loadu_epi8(~uint64_t{0} >> (64 - (end - k)), packed + k), k);
    for (int row = 0; row < Rows; ++row) {
      const auto& s = sum[row];
      const __m512i low =
          _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
      const __m512i high =
          _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
      const __m512i four =
          _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
      const __m256i two = _mm256_add_epi32(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64(four, 1));
      const __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
      const __m128i own = _mm_sub_epi32(sums, _mm_slli_si128(sums, 4));
      total[row] = _mm_add_epi32(total[row], _mm_srav_epi32(own, _mm_setr_epi32(0, 2, 4, 6)));
    }
  }
  for (int row = 0; row < Rows; ++row) {
    alignas(16) int32_t dots[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(dots), total[row]);
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t column = r + i * (args.n / 4);
      const float y = static_cast<float>(dots[i] - args.q_sum[row]) * args.row_scale[row];
      args.out[row * args.n + column] = args.bias == nullptr ? y : y + args.bias[column];
    }
  }
}

// _mm512_dpbusd_epi32, but gcc 12 copies a sum that it is given through the intrinsic, and then runs out of
// registers.
inline void add_products(__m512i& sum, __m512i weights, __m512i q) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(q));
}

// A re-laid tile times Rows rows of activations from m on.
template <int Rows>
void tile_rows(const TernaryLinear& args, const uint8_t* tile, int64_t m, int64_t r, __mmask16 lanes) {
  const int8_t* q = args.q + m * args.q_stride;
  __m512i total[Rows][4];
  for (int64_t k0 = 0; k0 < args.k; k0 += kTernaryBlock) {
    const int64_t end = args.k - k0 < kTernaryBlock ? args.k : k0 + kTernaryBlock;
    __m512i sum[Rows][4] = {};
    for (int64_t k = k0; k < end; k += 4) {
      const Parts parts = split(_mm512_load_si512(tile + k * 16));
#pragma GCC unroll 8
      for (int row = 0; row < Rows; ++row) {
        const __m512i four = _mm512_set1_epi32(load_dword(q + row * args.q_stride + k));
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) add_products(sum[row][i], parts.of[i], four);
      }
    }
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 4
      for (int i = 3; i > 0; --i) {
        sum[row][i] =
            _mm512_srai_epi32(_mm512_sub_epi32(sum[row][i], sum[row][i - 1]), 2 * static_cast<unsigned>(i));
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        total[row][i] = k0 == 0 ? sum[row][i] : _mm512_add_epi32(total[row][i], sum[row][i]);
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
    for (int i = 0; i < 4; ++i) write_ternary(args, m + row, r, i, lanes, total[row][i]);
  }
}

// The last rows of activations, fewer than kRegisterRows.
template <int Rows>
void rest(const TernaryLinear& args, const uint8_t* tile, int64_t m, int64_t r, __mmask16 lanes) {
  if constexpr (Rows > 0) {
    if (args.m - m < Rows) return rest<Rows - 1>(args, tile, m, r, lanes);
    tile_rows<Rows>(args, tile, m, r, lanes);
  }
}

}  // namespace

void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end) {
  if (args.m == 0) return;
  if (args.m <= kFew) {
    constexpr decltype(&few_row<1>) kRow[] = {few_row<1>, few_row<2>, few_row<3>, few_row<4>};
    for (int64_t r = begin; r < end; ++r) kRow[args.m - 1](args, r);
    return;
  }
  const Scratch<uint8_t> tile(ternary_steps(args.k) * 64);
  for (int64_t r = begin; r < end; r += kTernaryTile) {
    const int64_t rows = end - r < kTernaryTile ? end - r : kTernaryTile;
    const auto lanes = static_cast<__mmask16>((1u << rows) - 1);
    relay_ternary(args, r, rows, tile.data);
    int64_t m = 0;
    for (; m + kRegisterRows <= args.m; m += kRegisterRows)
      tile_rows<kRegisterRows>(args, tile.data, m, r, lanes);
    rest<kRegisterRows - 1>(args, tile.data, m, r, lanes);
  }
}

}  // namespace zeta::cpu::avx512_vnni
