// A boolean mask as kernels read it: a bit an element, and for each block of 64 × 128 whether it holds any
// true, any false. Blocks without a true are skipped, and those without a false never read.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention/attention.h"

namespace zeta::cuda {

constexpr int kMaskRows = 64, kMaskColumns = 128;
constexpr uint8_t kMaskSomeTrue = 1, kMaskSomeFalse = 2;

// Rows and columns are those of a kernel's scores: queries × keys in the forward, keys × queries in the
// backward. What a mask broadcasts is there once: a factor of 0.
struct MaskBits {
  const uint32_t* bits = nullptr;  // (slices, rows, column_blocks, kMaskColumns / 32)
  const uint8_t* kinds;            // (slices, row_blocks, column_blocks)
  int rows, row_blocks, column_blocks;
  int batch_factor, head_factor, row_factor,
      column_factor;  // slice = batch_factor · batch + head_factor · head
};

// The bytes that packing takes, a multiple of 16; 0 without a mask.
int64_t mask_workspace(const AttentionMask& mask, const AttentionShape& shape, bool key_rows);
// Packs into `workspace`. Enqueues on `stream`.
cudaError_t pack_mask(const AttentionMask& mask, const AttentionShape& shape, bool key_rows, void* workspace,
                      MaskBits* packed, cudaStream_t stream);

}  // namespace zeta::cuda
