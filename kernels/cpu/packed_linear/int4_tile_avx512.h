// Many rows of activations times 4-bit weights: 32 columns of the output at a time, their weights decoded
// once into a tile in which a lane is a column, so that nothing is summed across lanes and a group's scale is
// a vector.
//
// Arithmetic says how (int4_avx512.cc, int4_avx512_bf16.cc). Static, see int4_scale.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4_scale.h"
#include "kernels/cpu/packed_linear/transpose_avx512.h"
#include "kernels/cpu/scratch.h"

namespace zeta::cpu {
namespace {

constexpr int64_t kInt4TileN = 32, kInt4TileK = 512;  // 64 KiB of fp32, half of that of bfloat16
constexpr int64_t kInt4Rows = 12;                     // of activations that share a vector of weights

// Columns of the input with one scale for each column of the output.
struct Int4Piece {
  int64_t begin, end;  // from the tile's first
  alignas(64) float scale[kInt4TileN];
};

struct Int4Tile {
  int64_t n, columns, k, count;  // [n, n + columns) × [k, k + count)
  int64_t pieces;
  Int4Piece piece[kInt4TileK / 8];
  alignas(64) uint32_t weights[kInt4TileK * kInt4TileN];  // step by step, 32 lanes each
};

template <typename Arithmetic>
void int4_decode(const Int4Linear& args, Int4Tile& tile) {
  const int64_t words = args.k / 8, count = tile.count / 8;
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t word = 0; word < count; word += 16) {
      const auto present = static_cast<__mmask16>(count - word < 16 ? (1u << (count - word)) - 1 : 0xffffu);
      __m512i rows[16];
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t column = half * 16 + i;
        rows[i] = column < tile.columns
                      ? _mm512_maskz_loadu_epi32(present,
                                                 args.packed + (tile.n + column) * words + tile.k / 8 + word)
                      : _mm512_setzero_si512();
      }
      transpose_dwords(rows);
      for (int64_t i = 0; i < 16 && word + i < count; ++i) {
        __m512i steps[Arithmetic::kSteps];
        Arithmetic::decode_in_order(rows[i], steps);
        for (int64_t step = 0; step < Arithmetic::kSteps; ++step) {
          const int64_t at = (word + i) * Arithmetic::kSteps + step;
          _mm512_store_si512(tile.weights + (at * 2 + half) * 16, steps[step]);
        }
      }
    }
  }
  tile.pieces = 0;
  for (int64_t k = 0; k < tile.count;) {
    Int4Piece& piece = tile.piece[tile.pieces++];
    const int64_t group = (tile.k + k) / args.group_size, group_end = (group + 1) * args.group_size - tile.k;
    piece.begin = k;
    piece.end = k = group_end < tile.count ? group_end : tile.count;
    for (int64_t i = 0; i < kInt4TileN; ++i) {
      piece.scale[i] =
          i < tile.columns ? int4_scale_at(args, (tile.n + i) * (args.k / args.group_size) + group) : 0;
    }
  }
}

// The tile times Rows rows of activations from m on.
template <typename Arithmetic, int Rows>
void int4_tile_rows(const Int4Linear& args, const Int4Tile& tile, int64_t m) {
  constexpr int64_t kColumns = 8 / Arithmetic::kSteps;  // of the input, a step
  const auto* x = Arithmetic::x(args, m) + tile.k;
  __m512 total[Rows][2];
  for (auto& row : total) row[0] = row[1] = _mm512_setzero_ps();
  for (int64_t p = 0; p < tile.pieces; ++p) {
    const Int4Piece& piece = tile.piece[p];
    __m512 sum[Rows][2];
#pragma GCC unroll 12
    for (int row = 0; row < Rows; ++row) sum[row][0] = sum[row][1] = _mm512_setzero_ps();
    for (int64_t k = piece.begin; k < piece.end; k += kColumns) {
      const uint32_t* weights = tile.weights + k / kColumns * kInt4TileN;
      const __m512i left = _mm512_load_si512(weights), right = _mm512_load_si512(weights + 16);
#pragma GCC unroll 12
      for (int row = 0; row < Rows; ++row) {
        const __m512i activation = Arithmetic::broadcast(x + row * args.k + k);
        Arithmetic::add(sum[row][0], left, activation);
        Arithmetic::add(sum[row][1], right, activation);
      }
    }
    const __m512 left = _mm512_load_ps(piece.scale), right = _mm512_load_ps(piece.scale + 16);
#pragma GCC unroll 12
    for (int row = 0; row < Rows; ++row) {
      total[row][0] = _mm512_fmadd_ps(sum[row][0], left, total[row][0]);
      total[row][1] = _mm512_fmadd_ps(sum[row][1], right, total[row][1]);
    }
  }
  const bool last = tile.k + tile.count == args.k;
  for (int64_t row = 0; row < Rows; ++row) {
    for (int64_t half = 0; half < 2 && half * 16 < tile.columns; ++half) {
      const int64_t left = tile.columns - half * 16, column = tile.n + half * 16;
      const auto lanes = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xffffu);
      float* out = args.out + (m + row) * args.n + column;
      __m512 y = total[row][half];
      if (tile.k > 0) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, out));
      if (last && args.bias != nullptr)
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.bias + column));
      _mm512_mask_storeu_ps(out, lanes, y);
    }
  }
}

// The last rows of activations, Rows or fewer.
template <typename Arithmetic, int Rows>
void int4_tile_rest(const Int4Linear& args, const Int4Tile& tile, int64_t m) {
  if constexpr (Rows > 0) {
    if (args.m - m < Rows) return int4_tile_rest<Arithmetic, Rows - 1>(args, tile, m);
    int4_tile_rows<Arithmetic, Rows>(args, tile, m);
  }
}

template <typename Arithmetic>
void int4_tiles(const Int4Linear& args, int64_t begin, int64_t end) {
  const Scratch<Int4Tile> scratch(1);
  Int4Tile& tile = *scratch.data;
  for (tile.n = begin; tile.n < end; tile.n += kInt4TileN) {
    tile.columns = end - tile.n < kInt4TileN ? end - tile.n : kInt4TileN;
    for (tile.k = 0; tile.k < args.k; tile.k += kInt4TileK) {
      tile.count = args.k - tile.k < kInt4TileK ? args.k - tile.k : kInt4TileK;
      int4_decode<Arithmetic>(args, tile);
      int64_t m = 0;
      for (; m + kInt4Rows <= args.m; m += kInt4Rows) int4_tile_rows<Arithmetic, kInt4Rows>(args, tile, m);
      int4_tile_rest<Arithmetic, kInt4Rows - 1>(args, tile, m);
    }
  }
}

}  // namespace
}  // namespace zeta::cpu
