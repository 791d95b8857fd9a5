// Which tiles of queries a block works on, and in which order.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace zeta::cuda {

struct AttentionTile {
  int row_block;
  int head;
  int batch;
};

// Blocks stay for the whole launch and take tiles in turn, there and back over the blocks, so that each gets
// its share of long and short ones. Under causality the longest come first: a chunk of row blocks of every
// head, then the next chunk, so that those who read the same keys do it at the same time.
struct AttentionSchedule {
  int row_blocks;
  int num_heads;
  int rows;   // batch · num_heads
  int chunk;  // row blocks of a head taken together; 0: all, the first one first

  int tiles() const { return row_blocks * rows; }

  // The turn-th tile of this block; false when there is none.
  __device__ bool get(int turn, AttentionTile& tile) const {
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    const int rank = turn * blocks + (turn % 2 ? blocks - 1 - block : block);
    if (rank >= row_blocks * rows) return false;
    int row;
    if (chunk == 0) {
      row = rank / row_blocks;
      tile.row_block = rank % row_blocks;
    } else {
      const int whole = chunk * rows, end = row_blocks - rank / whole * chunk, rest = rank % whole;
      const int here = min(chunk, end);
      row = rest / here;
      tile.row_block = end - 1 - rest % here;
    }
    tile.head = row % num_heads;
    tile.batch = row / num_heads;
    return true;
  }
};

}  // namespace zeta::cuda
