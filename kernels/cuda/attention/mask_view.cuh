// A packed mask (mask.h) as a kernel looks at it, tile by tile.
#pragma once

#include "kernels/cuda/attention/mask.h"

namespace zeta::cuda {

// A tile's kinds, of two blocks of rows together, and a thread's bits of it.
struct MaskView {
  const uint32_t* bits;  // of column block 0 of row 0
  const uint8_t* kinds;
  const MaskBits& m;

  __device__ MaskView(const MaskBits& mask, int batch, int head) : m(mask) {
    const int64_t slice = int64_t{batch} * m.batch_factor + head * m.head_factor;
    bits = m.bits + slice * m.rows * m.column_blocks * (kMaskColumns / 32);
    kinds = m.kinds + slice * m.row_blocks * m.column_blocks;
  }
  // Of kRows (64 or 128) rows from first_row and the columns around first_column.
  template <int kRows>
  __device__ __forceinline__ int kind(int first_row, int first_column) const {
    if (!m.bits) return kMaskSomeTrue;
    const uint8_t* at = kinds + int64_t{first_row / kMaskRows * m.row_factor} * m.column_blocks +
                        first_column / kMaskColumns * m.column_factor;
    return at[0] | (kRows > kMaskRows ? at[m.column_blocks * m.row_factor] : 0);
  }
  // Clears x where the mask is false.
  template <int kCount>
  __device__ __forceinline__ void exclude(float (&x)[kCount], int row, int first_column) const {
    constexpr int kWords = kCount / 16;  // two rows of 32 columns are 16 of a thread's elements
    const int lane = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int its_row = min(row + 8 * half, m.rows - 1) * m.row_factor;
      const uint32_t* at =
          bits +
          (int64_t{its_row} * m.column_blocks + first_column / kMaskColumns * m.column_factor) *
              (kMaskColumns / 32) +
          first_column % kMaskColumns / 32;
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        const uint32_t word = at[w] >> 2 * lane;
#pragma unroll
        for (int i = 0; i < 8; ++i)
          if (!(word >> (i / 2 * 8 + i % 2) & 1)) x[16 * w + i / 2 * 4 + 2 * half + i % 2] = -INFINITY;
      }
    }
  }
};

}  // namespace zeta::cuda
