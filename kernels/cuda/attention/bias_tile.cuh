// A bias of 2 bytes an element that the copy engine brings to shared memory: tiles of 64 queries × 64 keys,
// rows of 128 bytes, swizzled by 128 bytes. ldmatrix gives a thread the elements that wgmma's accumulators
// hold, of scores (rows are queries) or, transposed, of the backward's (rows are keys).
#pragma once

#include "kernels/cuda/attention/bias.cuh"
#include "kernels/cuda/attention/operands.h"
#include "kernels/cuda/memory.cuh"

namespace zeta::cuda {

constexpr int kBiasTile = 64 * 64 * 2;  // bytes

// What a bias broadcasts over batches or heads is there once.
struct BiasBoxes {
  CUtensorMap map;
  bool used;
  bool of_batches, of_heads;

  __device__ __forceinline__ void load(char* to, hopper::Barrier& full, int query, int key, int head,
                                       int batch) const {
    hopper::load_box(to, map, full, key, query, of_heads ? head : 0, of_batches ? batch : 0);
  }
};

// Whether batches share what heads do not: who reads the same then runs at the same time, for the L2 cache.
inline bool batches_share(const AttentionBias& b) {
  return b.data && b.batch_stride == 0 && b.head_stride != 0;
}

inline cudaError_t map_bias(const AttentionBias& b, const AttentionShape& s, BiasBoxes* boxes) {
  boxes->of_batches = b.batch_stride != 0, boxes->of_heads = b.head_stride != 0;
  const hopper::HalfTensor tensor = {b.data,
                                     s.seq_k,
                                     s.seq_q,
                                     boxes->of_heads ? s.num_heads : 1,
                                     boxes->of_batches ? s.batch : 1,
                                     b.query_stride,
                                     b.head_stride,
                                     b.batch_stride};
  boxes->used = b.data && !b.wide && b.key_stride == 1 && can_map_rows(tensor);
  return boxes->used ? hopper::map_boxes(&boxes->map, tensor, 64) : cudaSuccess;
}

// Adds a row of tiles to a warp's scores. `tile`: the first one; `next`: bytes from one to the next.
// kKeyRows: rows are keys, and tiles follow each other along queries.
template <typename T, bool kKeyRows, int kCount>
__device__ __forceinline__ void add_bias_tiles(float (&x)[kCount], const char* tile, int next) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % 4;
  const int matrix = lane / 8;  // of four: two rows of eight, then of the next eight columns
  const uint32_t at = shared_place(tile);
#pragma unroll
  for (int i = 0; i < kCount / 8; ++i) {
    const int row = 16 * warp + matrix % 2 * 8, column = (16 * i + matrix / 2 * 8) % 64;
    const int line = (kKeyRows ? column : row) + lane % 8, piece = (kKeyRows ? row : column) / 8;
    const uint32_t address = at + 16 * i / 64 * next + line * 128 + (piece ^ lane % 8) * 16;
    uint32_t words[4];
    if constexpr (kKeyRows)
      load_matrices_transposed(words, address);
    else
      load_matrices(words, address);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float2 both = unpack(words[j], T());
      x[8 * i + 2 * j] += both.x * kLog2E, x[8 * i + 2 * j + 1] += both.y * kLog2E;
    }
  }
}

}  // namespace zeta::cuda
