// What the e4m3 forward works on: its parameters, the tiles that lie in shared memory, and the warp that
// loads them.
#pragma once

#include "kernels/cuda/attention/float8.h"
#include "kernels/cuda/attention/key_blocks.cuh"
#include "kernels/cuda/attention/schedule.cuh"
#include "kernels/cuda/hopper/tma.cuh"

namespace zeta::cuda {

using hopper::Barrier;
using hopper::RingPosition;

// Values are arranged (arrange_values.cuh) in pieces of this many keys, the depth of one product.
constexpr int kValueKeys = 32;

struct Float8Params {
  CUtensorMap q, k;  // of pairs of bytes
  const char* values;
  int64_t values_stride;  // of a (batch, kv head), bytes
  AttentionSchedule schedule;
  int seq_q, seq_k, num_heads, group;  // group: query heads a kv head
  int value_dim;
  float scale;
  HeadScales q_descale, k_descale, v_descale;
  void* out;
  int64_t out_batch_stride, out_seq_stride, out_head_stride;
  float* lse;
};

template <int kHeadDim_, int kValueDim_, int kGroups_, int kKeys_, bool kCausal_>
struct Float8Traits {
  static constexpr int kHeadDim = kHeadDim_, kValueDim = kValueDim_;  // 64 or 128
  static constexpr int kGroups = kGroups_, kRows = 64 * kGroups;
  static constexpr int kKeys = kKeys_;  // a tile's, a multiple of kValueKeys
  static constexpr bool kCausal = kCausal_;
  static constexpr int kThreads = 128 * (kGroups + 1);
  static constexpr int kRowBytes = 128;  // of queries and keys; those of short heads end in zeros
  static constexpr int kQueryBytes = kRows * kRowBytes, kKeyBytes = kKeys * kRowBytes,
                       kValueBytes = kKeys * kValueDim;
  static constexpr int kStages = 3, kQueryStages = 2;
  // Tiles whose outputs the tensor cores add up by themselves, with their few bits.
  static constexpr int kTilesTogether = 1024 / kKeys;

  struct Shared {
    alignas(1024) char q[kQueryStages][kQueryBytes];
    alignas(1024) char k[kStages][kKeyBytes];
    alignas(1024) char v[kStages][kValueBytes];
    float4 out[kGroups][kValueDim / 8][128];  // a thread's sums of earlier tiles
    Barrier q_full[kQueryStages], q_free[kQueryStages];
    Barrier k_full[kStages], k_free[kStages];
    Barrier v_full[kStages], v_free[kStages];
  };
  static constexpr int kSharedBytes = sizeof(Shared) + 1024;  // room to align it
  static_assert(kSharedBytes <= 227 * 1024);
};

template <class Traits>
__device__ __forceinline__ void load_float8_tiles(const Float8Params& p, typename Traits::Shared& shared) {
  RingPosition<Traits::kQueryStages> q_at;
  RingPosition<Traits::kStages> k_at, v_at;
  AttentionTile tile;
  for (int turn = 0; p.schedule.get(turn, tile); ++turn) {
    const KeyBlocks<Traits> blocks(p, tile.row_block * Traits::kRows, Traits::kRows);
    if (blocks.count == 0) continue;
    const int kv_head = tile.head / p.group;
    const char* values =
        p.values + (int64_t{tile.batch} * (p.num_heads / p.group) + kv_head) * p.values_stride;
    const auto load_k = [&](int block) {
      Barrier& full = shared.k_full[k_at.stage];
      shared.k_free[k_at.stage].wait(k_at.parity ^ 1);
      full.arrive_expecting(Traits::kKeyBytes);
      hopper::load_box(shared.k[k_at.stage], p.k, full, 0, block * Traits::kKeys, kv_head, tile.batch);
      k_at.next();
    };
    shared.q_free[q_at.stage].wait(q_at.parity ^ 1);
    shared.q_full[q_at.stage].arrive_expecting(Traits::kQueryBytes);
    hopper::load_box(shared.q[q_at.stage], p.q, shared.q_full[q_at.stage], 0, tile.row_block * Traits::kRows,
                     tile.head, tile.batch);
    q_at.next();
    load_k(blocks.count - 1);
    for (int block = blocks.count - 1; block >= 0; --block) {
      if (block > 0) load_k(block - 1);  // what consumers want first
      Barrier& full = shared.v_full[v_at.stage];
      shared.v_free[v_at.stage].wait(v_at.parity ^ 1);
      full.arrive_expecting(Traits::kValueBytes);
      hopper::load_bytes(shared.v[v_at.stage], values + int64_t{block} * Traits::kValueBytes,
                         Traits::kValueBytes, full);
      v_at.next();
    }
  }
}

}  // namespace zeta::cuda
