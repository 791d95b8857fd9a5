// The forward kernel for GPUs from Ampere on: cp.async and mma.sync (Dao, "FlashAttention-2", 2023). A block
// owns kRows queries of a head, each warp some of them, and walks over the keys that they see from the last
// to the first, whose next block is on its way while one is worked on.
#pragma once

#include "kernels/cuda/attention/ampere/forward_warp.cuh"

namespace zeta::cuda::ampere {

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, Traits::kBlocks)
    ampere_forward_kernel(const __grid_constant__ ForwardParams p) {
  constexpr int kDim = Traits::kDim, kKeys = Traits::kKeys, kThreads = Traits::kThreads;
  extern __shared__ __align__(128) char raw[];
  auto& shared = *reinterpret_cast<typename Traits::Shared*>(raw);
  AttentionTile tile;
  if (!p.schedule.get(0, tile)) return;
  const int kv_head = tile.head / p.group, warp = static_cast<int>(threadIdx.x) / 32;
  const int block_row = tile.row_block * Traits::kRows, first_row = block_row + warp * 16 * Traits::kTiles;
  const HeadRows q(p.q, tile.batch, tile.head, p.head_dim), k(p.k, tile.batch, kv_head, p.head_dim),
      v(p.v, tile.batch, kv_head, p.value_dim);
  ForwardWarp<Traits> warps(p, shared, warp);

  const Span seen = p.band.keys_of(block_row, Traits::kRows),
             by_all = p.band.keys_of_all(block_row, Traits::kRows);
  const int first_block = seen.begin / kKeys;
  const int count = seen.end > seen.begin ? (seen.end + kKeys - 1) / kKeys - first_block : 0;
  const auto load_keys = [&](int block, int stage) {
    load_rows<kDim, kKeys, kThreads>(shared.k[stage], k, block * kKeys, p.band.seq_k);
  };
  const auto load_values = [&](int block, int stage) {
    load_rows<kDim, kKeys, kThreads>(shared.v[stage], v, block * kKeys, p.band.seq_k);
  };
  const float scale_log2 = p.scale * 1.44269504088896340736f;

  int block = first_block + count - 1;
  if (count > 0) {
    load_rows<kDim, Traits::kRows, kThreads>(shared.q, q, block_row, p.band.seq_q);
    load_keys(block, 0), load_values(block, 0);
    commit_copies();
    for (int turn = 0; turn < count; ++turn, --block) {
      const int stage = turn & 1;
      wait_for_copies<0>();
      __syncthreads();
      if (turn == 0) warps.hold_queries();
      if (block > first_block) load_keys(block - 1, stage ^ 1), load_values(block - 1, stage ^ 1);
      commit_copies();
      float s[Traits::kTiles][kKeys / 8][4];
      warps.score(s, stage);
      const int key = block * kKeys;
      if (key < by_all.begin || key + kKeys > by_all.end) warps.exclude(s, first_row, key);
      warps.softmax.update(s, warps.out, scale_log2);
      warps.add_values(s, stage);
    }
  }
  warps.write(tile, first_row);
}

}  // namespace zeta::cuda::ampere
