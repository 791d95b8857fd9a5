// The kernel for Hopper: a warp loads with the copy engine, two warpgroups multiply with wgmma. Two blocks
// with the same columns form a cluster and load half of them each, for both: the products of 8 bits take
// their operands from L2 faster than it gives them otherwise.
#pragma once

#include "kernels/cuda/hopper/cluster.cuh"
#include "kernels/cuda/hopper/tma.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"
#include "kernels/cuda/hopper/wgmma8.cuh"
#include "kernels/cuda/scaled_product/epilogue.cuh"

namespace zeta::cuda {

using Position = hopper::RingPosition<kStages>;

__device__ inline void load_tiles(const ProductParams& p, Stages& stages, int cluster, int clusters,
                                  int rank) {
  Position at;
  for (int index = cluster; index < p.row_pairs * p.columns; index += clusters) {
    const Tile tile = tile_at(p, index, rank);
    for (int k = 0; k < p.k; k += kTileDepth) {
      stages.empty[at.stage].wait(at.parity ^ 1);
      hopper::Barrier& full = stages.full[at.stage];
      full.arrive_expecting(kStageBytes);
      // Columns of the maps are pairs of bytes.
      hopper::load_box(stages.a[at.stage], p.a, full, k / 2, tile.row, 0, 0);
      constexpr int kShare = kTileColumns / kPair;
      hopper::load_box_for_all(stages.b[at.stage] + rank * (kShare * kTileDepth), p.b, full, k / 2,
                               tile.column + rank * kShare, (1 << kPair) - 1);
      at.next();
    }
  }
}

template <typename T, class Scaling, typename Sum>
__device__ inline void multiply_tiles(const ProductParams& p, Stages& stages, int cluster, int clusters,
                                      int rank) {
  const int group = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
  const auto release = [&](int stage) {
    if (thread < kPair) hopper::arrive_at(stages.empty[stage], thread);
  };
  Position at;
  Sum acc[kTileColumns / 2];
  for (int index = cluster; index < p.row_pairs * p.columns; index += clusters) {
    const Tile tile = tile_at(p, index, rank);
    const int first_row = tile.row + group * 64, row = own_row(first_row);
    // Read here, where the products hide how long that takes.
    const Scaling scaling[2] = {Scaling(p, min(row, p.m - 1)), Scaling(p, min(row + 8, p.m - 1))};
    int before = -1;
    for (int k = 0; k < p.k; k += kTileDepth) {
      stages.full[at.stage].wait(at.parity);
      const uint64_t a = hopper::matrix_descriptor(stages.a[at.stage] + group * 64 * kTileDepth);
      const uint64_t b = hopper::matrix_descriptor(stages.b[at.stage]);
      hopper::wgmma_fence();
#pragma unroll
      for (int depth = 0; depth < kTileDepth; depth += 32)
        hopper::wgmma_8bit(acc, hopper::advance(a, depth), hopper::advance(b, depth), k + depth > 0);
      hopper::wgmma_commit();
      hopper::wgmma_wait<1>();  // the product of the stage before has ended
      if (before >= 0) release(before);
      before = at.stage;
      at.next();
    }
    hopper::wgmma_wait<0>();
    release(before);
    if (p.bias.data)
      write_tile<T, true>(p, first_row, tile.column, scaling, acc);
    else
      write_tile<T, false>(p, first_row, tile.column, scaling, acc);
  }
}

template <typename T, class Scaling, typename Sum>
__global__ void __launch_bounds__(128 * (1 + kConsumers), 1)
    scaled_product_kernel(const __grid_constant__ ProductParams p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ char raw[];
  Stages& stages = hopper::aligned_shared<Stages>(raw);
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      stages.full[s].init(1);
      stages.empty[s].init(kPair * kConsumers);
    }
    hopper::publish_barriers();
  }
  hopper::cluster_sync();
  const int rank = hopper::cluster_rank(), cluster = blockIdx.x / kPair, clusters = gridDim.x / kPair;
  if (threadIdx.x < 128) {
    hopper::release_registers<40>();
    if (threadIdx.x == 0) load_tiles(p, stages, cluster, clusters, rank);
  } else {
    hopper::claim_registers<232>();
    multiply_tiles<T, Scaling, Sum>(p, stages, cluster, clusters, rank);
  }
  __syncwarp();
  hopper::cluster_sync();  // nobody leaves while the other's loads and arrivals are still to come
#endif
}

}  // namespace zeta::cuda
