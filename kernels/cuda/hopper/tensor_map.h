// Descriptions of tensors in global memory for the bulk tensor copy engine.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace zeta::cuda::hopper {

// A (batch, head, row, column) tensor of 2-byte elements, columns contiguous; strides in elements.
struct HalfTensor {
  const void* data;
  int64_t columns, rows, heads, batch;
  int64_t row_stride, head_stride, batch_stride;
};

// Whether the copy engine can address it: 16-byte aligned base and strides.
bool can_map_rows(const HalfTensor& tensor);
// … and its columns fill multiples of 16 bytes.
bool can_map(const HalfTensor& tensor);

// Boxes of 64 columns × box_rows rows, which land in shared memory as rows of 128 bytes, swizzled by 128
// bytes.
cudaError_t map_boxes(CUtensorMap* map, const HalfTensor& tensor, int box_rows);

}  // namespace zeta::cuda::hopper
