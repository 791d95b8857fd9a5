#include "kernels/cuda/attention/mask.h"

namespace zeta::cuda {
namespace {

struct Packing {
  const bool* data;
  int64_t batch_stride, head_stride, row_stride, column_stride;
  int batches, heads, rows, columns;  // 1 where the mask broadcasts; columns: then kMaskColumns
  int row_blocks, column_blocks;
  uint32_t* bits;
  uint8_t* kinds;

  int64_t slices() const { return int64_t{batches} * heads; }
  int64_t bit_bytes() const { return slices() * rows * column_blocks * (kMaskColumns / 8); }
  int64_t kind_bytes() const { return (slices() * row_blocks * column_blocks + 15) / 16 * 16; }
};

Packing packing(const AttentionMask& mask, const AttentionShape& s, bool key_rows) {
  Packing p = {};
  p.data = mask.data;
  p.batch_stride = mask.batch_stride, p.head_stride = mask.head_stride;
  p.row_stride = key_rows ? mask.key_stride : mask.query_stride;
  p.column_stride = key_rows ? mask.query_stride : mask.key_stride;
  const auto count = [](int64_t stride, int64_t size, int64_t otherwise) {
    return static_cast<int>(stride == 0 ? otherwise : size);
  };
  p.batches = count(p.batch_stride, s.batch, 1), p.heads = count(p.head_stride, s.num_heads, 1);
  p.rows = count(p.row_stride, key_rows ? s.seq_k : s.seq_q, 1);
  p.columns = count(p.column_stride, key_rows ? s.seq_q : s.seq_k, kMaskColumns);
  p.row_blocks = (p.rows + 2 * kMaskRows - 1) / (2 * kMaskRows) * 2;  // kernels read them in pairs
  p.column_blocks = (p.columns + kMaskColumns - 1) / kMaskColumns;
  return p;
}

// 64 rows × 128 columns; elements beyond the mask's edge count as neither true nor false, and read as true.
__global__ void __launch_bounds__(256) pack_blocks(const Packing p) {
  int64_t block = blockIdx.x;
  const int column_block = static_cast<int>(block % p.column_blocks);
  block /= p.column_blocks;
  const int row_block = static_cast<int>(block % p.row_blocks);
  const int64_t slice = block / p.row_blocks;
  const bool* from = p.data + slice / p.heads * p.batch_stride + slice % p.heads * p.head_stride;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first_row = row_block * kMaskRows, first_column = column_block * kMaskColumns;
  uint32_t word = ~0u, some = 0, hole = 0;
  int row, column;  // of this thread's word
  if (p.column_stride <= 1) {
    row = first_row + (warp * 32 + lane) / 4, column = first_column + lane % 4 * 32;
#pragma unroll 8
    for (int i = 0; i < 32; ++i) {
      const int r = first_row + (warp * 32 + i) / 4, c = first_column + i % 4 * 32 + lane;
      const bool inside = r < p.rows && c < p.columns;
      const bool value = !inside || from[r * p.row_stride + c * p.column_stride];
      const uint32_t values = __ballot_sync(~0u, value);
      some |= values & __ballot_sync(~0u, inside), hole |= ~values;
      if (lane == i) word = values;
    }
  } else {  // neighbouring threads take neighbouring rows, which lie together where columns do not
    row = first_row + static_cast<int>(threadIdx.x) % 64, column = first_column + warp / 2 * 32;
    if (row < p.rows) {
      const bool* line = from + row * p.row_stride;
#pragma unroll 8
      for (int i = 0; i < 32; ++i) {
        if (column + i >= p.columns) break;
        const bool value = line[(column + i) * p.column_stride];
        some |= value;
        if (!value) word &= ~(1u << i);
      }
    }
    hole = ~word;
  }
  if (row < p.rows)
    p.bits[((slice * p.rows + row) * p.column_blocks + column_block) * (kMaskColumns / 32) +
           (column - first_column) / 32] = word;
  const bool any = __syncthreads_or(some != 0), holes = __syncthreads_or(hole != 0);
  if (threadIdx.x == 0)
    p.kinds[(slice * p.row_blocks + row_block) * p.column_blocks + column_block] =
        (any ? kMaskSomeTrue : 0) | (holes ? kMaskSomeFalse : 0);
}

}  // namespace

int64_t mask_workspace(const AttentionMask& mask, const AttentionShape& shape, bool key_rows) {
  if (!mask.data) return 0;
  const Packing p = packing(mask, shape, key_rows);
  return p.bit_bytes() + p.kind_bytes();
}

cudaError_t pack_mask(const AttentionMask& mask, const AttentionShape& shape, bool key_rows, void* workspace,
                      MaskBits* packed, cudaStream_t stream) {
  *packed = {};
  if (!mask.data) return cudaSuccess;
  Packing p = packing(mask, shape, key_rows);
  p.bits = static_cast<uint32_t*>(workspace);
  p.kinds = static_cast<uint8_t*>(workspace) + p.bit_bytes();
  const auto factor = [](int64_t stride, int size) { return stride == 0 ? 0 : size; };
  *packed = {p.bits,
             p.kinds,
             p.rows,
             p.row_blocks,
             p.column_blocks,
             factor(p.batch_stride, p.heads),
             factor(p.head_stride, 1),
             factor(p.row_stride, 1),
             factor(p.column_stride, 1)};
  const int64_t blocks = p.slices() * p.row_blocks * p.column_blocks;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  pack_blocks<<<static_cast<unsigned>(blocks), 256, 0, stream>>>(p);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
