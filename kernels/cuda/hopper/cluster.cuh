// What blocks of a cluster do for each other on Hopper: one load for all of them, and their barriers.
#pragma once

#include <cuda.h>

#include "kernels/cuda/hopper/barrier.cuh"

namespace zeta::cuda::hopper {

__device__ inline int cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// All threads of all blocks of the cluster.
__device__ inline void cluster_sync() {
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// Arrives at the barrier that lies where `barrier` does, in another block of the cluster (or in this one).
__device__ inline void arrive_at(const Barrier& barrier, int rank) {
  asm volatile(
      "{.reg .b32 there; mapa.shared::cluster.u32 there, %0, %1;"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];}" ::"r"(barrier.address()),
      "r"(rank)
      : "memory");
}

// load_box to the same place in every block of `blocks`, a bit for each; each block's `full` counts the
// bytes.
__device__ inline void load_box_for_all(void* to, const CUtensorMap& map, Barrier& full, int column, int row,
                                        uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, "
      "{%3, %4, %5, %5}], [%2], %6;" ::"r"(shared_address(to)),
      "l"(&map), "r"(full.address()), "r"(column), "r"(row), "r"(0), "h"(blocks)
      : "memory");
}

}  // namespace zeta::cuda::hopper
