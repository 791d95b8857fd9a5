// How a matrix of sums is cut into tiles that registers hold.
#pragma once

#include <cstdint>

namespace zeta::cpu {
namespace {

// 6 × 2 vectors of sums, 2 of B and 1 broadcast fill 15 of AVX2's 16 registers, 12 × 2 likewise 27 of
// AVX-512's 32.
template <class V>
constexpr int kTileRows = V::kWidth == 16 ? 12 : 6;
constexpr int kTileVectors = 2;

// The last rows of a panel, at most kRows.
template <int kRows, int kVectors, class Tile>
inline void visit_rest(int64_t row, int64_t rows, int64_t column, const Tile& tile) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return tile.template operator()<kRows, kVectors>(row, column);
    visit_rest<kRows - 1, kVectors>(row, rows, column, tile);
  }
}

// All rows of one column panel, kVectors vectors wide.
template <class V, int kVectors, class Tile>
inline void visit_panel(int64_t rows, int64_t column, const Tile& tile) {
  int64_t row = 0;
  for (; row + kTileRows<V> <= rows; row += kTileRows<V>)
    tile.template operator()<kTileRows<V>, kVectors>(row, column);
  visit_rest<kTileRows<V> - 1, kVectors>(row, rows - row, column, tile);
}

// Calls tile<kRows, kVectors>(row, column) for every tile; `columns` is a multiple of V::kWidth.
template <class V, class Tile>
inline void visit_tiles(int64_t rows, int64_t columns, const Tile& tile) {
  constexpr int64_t kPanel = kTileVectors * V::kWidth;
  int64_t column = 0;
  for (; column + kPanel <= columns; column += kPanel) visit_panel<V, kTileVectors>(rows, column, tile);
  if (column < columns) visit_panel<V, 1>(rows, column, tile);
}

}  // namespace
}  // namespace zeta::cpu
