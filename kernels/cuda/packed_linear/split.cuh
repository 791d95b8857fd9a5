// The sum over in_features, cut into slices: one for each warp of a block, or of a cluster of blocks.
//
// With few rows of activations every warp reads weights of its own, and the memory is busy only if enough
// loads are under way on the whole GPU. A matrix of 4096 × 4096 has 256 tiles of 16 rows: 2 for each
// multiprocessor, where about 16 warps are needed. So the warps of a block share a tile and cut its columns.
#pragma once

#include <cooperative_groups.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace zeta::cuda {

constexpr int kMaxWarps = 16;   // of a block
constexpr int kMaxCluster = 8;  // what every Hopper can place

// 2³² / divisor, rounded up, for __umulhi; 0 for 1, which 32 bits do not hold.
inline uint32_t reciprocal(int divisor) {
  return divisor == 1 ? 0 : static_cast<uint32_t>(((uint64_t{1} << 32) + divisor - 1) / divisor);
}

struct Split {
  int warps = 1;    // of a block
  int cluster = 1;  // blocks that share a tile
};

// `tiles` blocks or clusters in all, each with `steps` steps to share among its warps, which take `shared`
// bytes of shared memory each.
inline Split split_steps(int64_t tiles, int64_t steps, int shared, const Device& device,
                         int warps = kMaxWarps) {
  const int64_t wanted = int64_t{warps} * device.multiprocessors,
                most = std::min(kMaxWarps, device.shared / shared);
  int64_t slices = std::clamp<int64_t>(wanted / tiles, 1, steps);
  slices = std::min<int64_t>(slices, most * (device.hopper ? kMaxCluster : 1));
  const int64_t each = (steps + slices - 1) / slices;
  slices = (steps + each - 1) / each;  // no more than have something to do
  Split split;
  while (slices > most * split.cluster) split.cluster *= 2;
  split.warps = static_cast<int>((slices + split.cluster - 1) / split.cluster);
  return split;
}

__device__ inline int blocks_of_cluster() {
#if __CUDA_ARCH__ >= 900
  return static_cast<int>(cooperative_groups::cluster_group::num_blocks());
#else
  return 1;
#endif
}

__device__ inline int rank_in_cluster() {
#if __CUDA_ARCH__ >= 900
  return static_cast<int>(cooperative_groups::cluster_group::block_rank());
#else
  return 0;
#endif
}

// Sums partial[w][i], w < parts, over the cluster's blocks and calls store(i, sum) for each i < count once,
// in one block of the cluster. `stride` numbers lie between a block's partial sums.
template <typename V, typename Store>
__device__ void sum_slices(V* partial, int parts, int count, int stride, Store store) {
  const int cluster = blocks_of_cluster();
  __syncthreads();
  if (cluster == 1) {
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      V sum = partial[i];
#pragma unroll 4
      for (int w = 1; w < parts; ++w) sum += partial[w * stride + i];
      store(i, sum);
    }
    return;
  }
#if __CUDA_ARCH__ >= 900
  const auto group = cooperative_groups::this_cluster();
#pragma unroll 1
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    V sum = partial[i];
#pragma unroll 4
    for (int w = 1; w < parts; ++w) sum += partial[w * stride + i];
    partial[i] = sum;
  }
  group.sync();
#pragma unroll 1
  for (int i = rank_in_cluster() * blockDim.x + threadIdx.x; i < count; i += cluster * blockDim.x) {
    V sum = 0;
#pragma unroll 1
    for (int r = 0; r < cluster; ++r) sum += group.map_shared_rank(partial, r)[i];
    store(i, sum);
  }
  group.sync();  // no block leaves while another reads its sums
#endif
}

}  // namespace zeta::cuda
