// Many rows of int8 activations times 4-bit weights: 32 columns of the output at a time, their codes spread
// once to bytes, four of a column to a lane; nothing is summed across lanes and a group's scale is a vector.
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/packed_linear/int4_int8_tiles.h"
#include "kernels/cpu/packed_linear/int4_scale.h"
#include "kernels/cpu/packed_linear/transpose_avx512.h"
#include "kernels/cpu/scratch.h"

namespace zeta::cpu::avx512_vnni {
namespace {

constexpr int64_t kTileN = 32;
constexpr int kRows = 12;  // of activations that share a vector of weights

struct Tile {
  explicit Tile(const Int4Int8Linear& args)
      : groups(args.k / args.group_size), codes((args.k / 8 + 15) / 16 * 16 * 256), scales(groups * kTileN) {}
  const int64_t groups;
  int64_t n = 0, columns = 0;
  Scratch<uint8_t> codes;  // step by step of four columns of the input, 32 lanes each
  Scratch<float> scales;   // group by group
};

// The codes in the low half of each lane, a byte each.
__m512i spread(__m512i words) {
  constexpr int kFirstOrSecondAndThird = 0xa8;
  const __m512i pairs = _mm512_ternarylogic_epi32(words, _mm512_slli_epi32(words, 8),
                                                  _mm512_set1_epi32(0x00ff00ff), kFirstOrSecondAndThird);
  return _mm512_ternarylogic_epi32(pairs, _mm512_slli_epi32(pairs, 4), _mm512_set1_epi32(0x0f0f0f0f),
                                   kFirstOrSecondAndThird);
}

void decode(const Int4Int8Linear& args, Tile& tile) {
  const int64_t words = args.k / 8;
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t word = 0; word < words; word += 16) {
      const auto present = static_cast<__mmask16>(words - word < 16 ? (1u << (words - word)) - 1 : 0xffffu);
      __m512i rows[16];
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t column = half * 16 + i;
        rows[i] = column < tile.columns
                      ? _mm512_maskz_loadu_epi32(present, args.packed + (tile.n + column) * words + word)
                      : _mm512_setzero_si512();
      }
      transpose_dwords(rows);
      for (int64_t i = 0; i < 16; ++i) {
        uint8_t* to = tile.codes.data + ((word + i) * 4 + half) * 64;
        _mm512_store_si512(to, spread(_mm512_and_si512(rows[i], _mm512_set1_epi32(0xffff))));
        _mm512_store_si512(to + 128, spread(_mm512_srli_epi32(rows[i], 16)));
      }
    }
  }
  for (int64_t i = 0; i < kTileN; ++i) {
    for (int64_t group = 0; group < tile.groups; ++group) {
      tile.scales.data[group * kTileN + i] =
          i < tile.columns ? int4_scale_at(args, (tile.n + i) * tile.groups + group) : 0;
    }
  }
}

inline int32_t load_dword(const int8_t* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof four);
  return four;
}

// Not the intrinsic, with which gcc 12 copies the sum.
inline void add_products(__m512i& sum, __m512i codes, __m512i q) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(q));
}

// Sums of q over each group, times −8: codes are stored 8 too great.
void offsets(const Int4Int8Linear& args, int64_t groups, int32_t* to) {
  const __m512i eight = _mm512_set1_epi8(8);
  for (int64_t m = 0; m < args.m; ++m) {
    for (int64_t group = 0; group < groups; ++group) {
      const int8_t* q = args.q + m * args.q_stride + group * args.group_size;
      __m512i sum = _mm512_setzero_si512();
      for (int64_t k = 0; k < args.group_size; k += 64) {
        const int64_t count = args.group_size - k < 64 ? args.group_size - k : 64;
        add_products(sum, eight, _mm512_maskz_loadu_epi8(~uint64_t{0} >> (64 - count), q + k));
      }
      *to++ = -_mm512_reduce_add_epi32(sum);
    }
  }
}

// The tile times Rows rows of activations from m on.
template <int Rows>
void tile_rows(const Int4Int8Linear& args, const Tile& tile, const int32_t* offset, int64_t m) {
  const int8_t* q = args.q + m * args.q_stride;
  __m512 total[Rows][2];
  for (auto& row : total) row[0] = row[1] = _mm512_setzero_ps();
  const uint8_t* codes = tile.codes.data;
  for (int64_t group = 0; group < tile.groups; ++group) {
    __m512i sum[Rows][2];
#pragma GCC unroll 12
    for (int row = 0; row < Rows; ++row)
      sum[row][0] = sum[row][1] = _mm512_set1_epi32(offset[(m + row) * tile.groups + group]);
    for (const int8_t* stop = q + args.group_size; q < stop; q += 4, codes += 128) {
      const __m512i left = _mm512_load_si512(codes), right = _mm512_load_si512(codes + 64);
#pragma GCC unroll 12
      for (int row = 0; row < Rows; ++row) {
        const __m512i four = _mm512_set1_epi32(load_dword(q + row * args.q_stride));
        add_products(sum[row][0], left, four);
        add_products(sum[row][1], right, four);
      }
    }
    const float* scales = tile.scales.data + group * kTileN;
    const __m512 left = _mm512_load_ps(scales), right = _mm512_load_ps(scales + 16);
#pragma GCC unroll 12
    for (int row = 0; row < Rows; ++row) {
      total[row][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[row][0]), left, total[row][0]);
      total[row][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[row][1]), right, total[row][1]);
    }
  }
  for (int64_t row = 0; row < Rows; ++row) {
    for (int64_t half = 0; half < 2 && half * 16 < tile.columns; ++half) {
      const int64_t left = tile.columns - half * 16, column = tile.n + half * 16;
      const auto lanes = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xffffu);
      __m512 y = _mm512_mul_ps(total[row][half], _mm512_set1_ps(args.row_scale[m + row]));
      if (args.bias != nullptr) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.bias + column));
      _mm512_mask_storeu_ps(args.out + (m + row) * args.n + column, lanes, y);
    }
  }
}

// The last rows of activations, Rows or fewer.
template <int Rows>
void rest(const Int4Int8Linear& args, const Tile& tile, const int32_t* offset, int64_t m) {
  if constexpr (Rows > 0) {
    if (args.m - m < Rows) return rest<Rows - 1>(args, tile, offset, m);
    tile_rows<Rows>(args, tile, offset, m);
  }
}

}  // namespace

void int4_int8_tiles(const Int4Int8Linear& args, int64_t begin, int64_t end) {
  Tile tile(args);
  const Scratch<int32_t> offset(args.m * tile.groups);
  offsets(args, tile.groups, offset.data);
  for (tile.n = begin; tile.n < end; tile.n += kTileN) {
    tile.columns = end - tile.n < kTileN ? end - tile.n : kTileN;
    decode(args, tile);
    int64_t m = 0;
    for (; m + kRows <= args.m; m += kRows) tile_rows<kRows>(args, tile, offset.data, m);
    rest<kRows - 1>(args, tile, offset.data, m);
  }
}

}  // namespace zeta::cpu::avx512_vnni
