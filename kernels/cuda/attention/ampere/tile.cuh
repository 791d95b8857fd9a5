// Tiles of rows of 16-bit numbers in shared memory, for cp.async and ldmatrix.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/memory.cuh"

namespace zeta::cuda::ampere {

// Rows of kDim elements (64 or more) in pieces of 16 bytes, permuted so that the eight rows that ldmatrix
// reads at once lie in different banks.
template <int kDim>
struct Tile {
  static constexpr int kPieces = kDim / 8, kRowBytes = 2 * kDim;

  __device__ static constexpr int offset(int row, int piece) {
    return row * kRowBytes + (piece ^ (row & 7)) * 16;
  }
};

// One head of a tensor.
struct HeadRows {
  const char* data;
  int64_t row_bytes;
  int dim;  // a multiple of 8

  __device__ HeadRows(const AttentionTensor& t, int batch, int head, int dim_)
      : data(static_cast<const char*>(t.data) + 2 * (batch * t.batch_stride + head * t.head_stride)),
        row_bytes(2 * t.seq_stride),
        dim(dim_) {}
};

// Starts to copy kRows rows from first_row on; what lies beyond `rows` or the head's dim becomes 0.
template <int kDim, int kRows, int kThreads>
__device__ __forceinline__ void load_rows(char* tile, const HeadRows& from, int first_row, int rows) {
  constexpr int kPieces = Tile<kDim>::kPieces, kAtOnce = kThreads / kPieces;
  static_assert(kRows % kAtOnce == 0);
  const int piece = static_cast<int>(threadIdx.x) % kPieces, row = static_cast<int>(threadIdx.x) / kPieces;
  const char* source = from.data + (first_row + row) * from.row_bytes + 16 * piece;
  if (from.dim == kDim && first_row + kRows <= rows) {
#pragma unroll
    for (int i = 0; i < kRows; i += kAtOnce, source += kAtOnce * from.row_bytes)
      copy_16_async(tile + Tile<kDim>::offset(row + i, piece), source);
    return;
  }
  const bool inside = 8 * piece < from.dim;
#pragma unroll
  for (int i = 0; i < kRows; i += kAtOnce) {
    const bool wanted = inside && first_row + row + i < rows;
    copy_16_async(tile + Tile<kDim>::offset(row + i, piece), wanted ? source + i * from.row_bytes : from.data,
                  wanted);
  }
}

// Reads 16 × 16 elements of a tile at a time into what mma_m16n8k16 takes. Across: registers 0 to 3 are rows
// 0-7 of columns 0-7, then of columns 8-15, then rows 8-15 of both. Down: rows 0-7, rows 8-15 of columns 0-7,
// then both of columns 8-15. So a left operand is read down, or across and transposed; two right operands (16
// columns) across from rows that are columns of the product, or down and transposed.
template <int kDim>
struct Reader {
  uint32_t row_at, turned;

  __device__ Reader(const void* tile, bool down) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int row = down ? lane % 16 : lane / 16 * 8 + lane % 8, piece = down ? lane / 16 : lane / 8 % 2;
    row_at = shared_place(tile) + row * Tile<kDim>::kRowBytes;
    turned = (piece ^ (lane & 7)) * 16;
  }
  // row is a multiple of 8, column of 16; `bytes` moves to another tile.
  __device__ __forceinline__ uint32_t at(int row, int column, uint32_t bytes) const {
    // Only three bits of a piece's number turn with the row: the rest is a constant of the instruction.
    return row_at + bytes + (turned ^ (column * 2 % 128)) + row * Tile<kDim>::kRowBytes +
           column * 2 / 128 * 128;
  }
  __device__ __forceinline__ void read(uint32_t (&m)[4], int row, int column, uint32_t bytes = 0) const {
    load_matrices(m, at(row, column, bytes));
  }
  __device__ __forceinline__ void read_transposed(uint32_t (&m)[4], int row, int column,
                                                  uint32_t bytes = 0) const {
    load_matrices_transposed(m, at(row, column, bytes));
  }
};

}  // namespace zeta::cuda::ampere
