// What the blocks of a scaled product work on, and in which order.
#pragma once

#include <cuda.h>

#include "kernels/cuda/hopper/barrier.cuh"
#include "kernels/cuda/values.h"

namespace zeta::cuda {

constexpr int kTileRows = 128, kTileColumns = 256;  // of y, a block's
constexpr int kTileDepth = 128;                     // bytes of a row that a stage holds
constexpr int kStages = 4;
constexpr int kConsumers = 2;  // warpgroups, each with 64 rows
constexpr int kPair = 2;       // blocks of a cluster, with neighbouring rows and the same columns

struct Stages {
  alignas(1024) char a[kStages][kTileRows * kTileDepth];
  char b[kStages][kTileColumns * kTileDepth];
  hopper::Barrier full[kStages], empty[kStages];
};
constexpr int kStageBytes = (kTileRows + kTileColumns) * kTileDepth;

struct ProductParams {
  CUtensorMap a, b;
  const float* a_scale;
  const float* b_scale;
  Values bias;
  void* y;
  int m, n, k;
  int row_pairs, columns;  // of tiles
};

struct Tile {
  int row, column;  // of y, where the block's tile starts
};

// Blocks that run at once share rows and columns as well as they can: pairs of tiles go down kTogether rows
// before they go on to the next columns, so that what is read again is in L2.
__device__ inline Tile tile_at(const ProductParams& p, int index, int rank) {
  constexpr int kTogether = 8;
  const int band = index / (kTogether * p.columns), first = band * kTogether;
  const int height = min(kTogether, p.row_pairs - first), within = index - first * p.columns;
  const int pair = first + within % height;
  return {(kPair * pair + rank) * kTileRows, within / height * kTileColumns};
}

}  // namespace zeta::cuda
