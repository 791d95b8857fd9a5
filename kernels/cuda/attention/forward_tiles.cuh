// What the forward kernel works on: its parameters, the tiles that lie in shared memory, and the warp that
// loads them.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/key_blocks.cuh"
#include "kernels/cuda/attention/schedule.cuh"
#include "kernels/cuda/hopper/tma.cuh"

namespace zeta::cuda {

using hopper::Barrier;
using hopper::RingPosition;

struct ForwardParams {
  CUtensorMap q, k, v;
  AttentionSchedule schedule;
  int seq_q, seq_k, num_heads, group;  // group: query heads a kv head
  int value_dim;
  float scale;
  void* out;
  int64_t out_batch_stride, out_seq_stride, out_head_stride;
  float* lse;
};

template <int kHeadDim_, int kValueDim_, int kGroups_, bool kCausal_, typename T_, int kKeys_ = 128>
struct ForwardTraits {
  using T = T_;
  static constexpr int kHeadDim = kHeadDim_, kValueDim = kValueDim_;  // multiples of 64
  static constexpr int kGroups = kGroups_, kRows = 64 * kGroups;
  static constexpr int kKeys = kKeys_;  // a tile's
  static constexpr bool kCausal = kCausal_;
  static constexpr int kThreads = 128 * (kGroups + 1);
  static constexpr int kQueryBytes = kRows * kHeadDim * 2, kKeyBytes = kKeys * kHeadDim * 2,
                       kValueBytes = kKeys * kValueDim * 2;
  static constexpr int kStages = 2;
  // The next tile's queries come early where they fit into the 227 KiB that a block may have.
  static constexpr int kQueryStages =
      2 * kQueryBytes + kStages * (kKeyBytes + kValueBytes) <= 225 * 1024 ? 2 : 1;

  struct Shared {
    alignas(1024) char q[kQueryStages][kQueryBytes];
    alignas(1024) char k[kStages][kKeyBytes];
    alignas(1024) char v[kStages][kValueBytes];
    Barrier q_full[kQueryStages], q_free[kQueryStages];
    Barrier k_full[kStages], k_free[kStages];
    Barrier v_full[kStages], v_free[kStages];
  };
  static constexpr int kSharedBytes = sizeof(Shared) + 1024;  // room to align it
};

template <class Traits>
__device__ __forceinline__ void load_tiles(const ForwardParams& p, typename Traits::Shared& shared) {
  RingPosition<Traits::kQueryStages> q_at;
  RingPosition<Traits::kStages> k_at, v_at;
  AttentionTile tile;
  for (int turn = 0; p.schedule.get(turn, tile); ++turn) {
    const KeyBlocks<Traits> blocks(p, tile.row_block * Traits::kRows, Traits::kRows);
    if (blocks.count == 0) continue;
    const int kv_head = tile.head / p.group;
    const auto load_k = [&](int block) {
      shared.k_free[k_at.stage].wait(k_at.parity ^ 1);
      hopper::load_tile(shared.k[k_at.stage], p.k, shared.k_full[k_at.stage], Traits::kHeadDim, Traits::kKeys,
                        block * Traits::kKeys, kv_head, tile.batch);
      k_at.next();
    };
    shared.q_free[q_at.stage].wait(q_at.parity ^ 1);
    hopper::load_tile(shared.q[q_at.stage], p.q, shared.q_full[q_at.stage], Traits::kHeadDim, Traits::kRows,
                      tile.row_block * Traits::kRows, tile.head, tile.batch);
    q_at.next();
    load_k(blocks.count - 1);
    for (int block = blocks.count - 1; block >= 0; --block) {
      if (block > 0) load_k(block - 1);  // what consumers want first
      shared.v_free[v_at.stage].wait(v_at.parity ^ 1);
      hopper::load_tile(shared.v[v_at.stage], p.v, shared.v_full[v_at.stage], Traits::kValueDim,
                        Traits::kKeys, block * Traits::kKeys, kv_head, tile.batch);
      v_at.next();
    }
  }
}

}  // namespace zeta::cuda
