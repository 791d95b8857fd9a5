// Which tiles the forward with options has, which keys each sees, and the warp that loads them.
#pragma once

#include "kernels/cuda/attention/bias_tile.cuh"
#include "kernels/cuda/attention/forward_tiles.cuh"
#include "kernels/cuda/attention/mask_view.cuh"
#include "kernels/cuda/attention/score.cuh"

namespace zeta::cuda {

template <class Plain>
struct ForwardOptionTraits : Plain {
  struct Shared : Plain::Shared {
    alignas(1024) char bias[Plain::kGroups][Plain::kKeys / 64 * kBiasTile];  // each warpgroup's 64 queries
    Barrier bias_full[Plain::kGroups], bias_free[Plain::kGroups];
  };
  static constexpr int kSharedBytes = sizeof(Shared) + 1024;
  static_assert(kSharedBytes <= 227 * 1024, "what a block may have");
};

struct ForwardOptionParams : ForwardParams {
  BiasBoxes bias;
  ScoreParams score;
  AttentionPacking packing;
  bool batches_together;  // the schedule counts batches where others count heads
  int64_t lse_batch_stride, lse_head_stride;

  __device__ PackedSequence sequence(int batch) const {
    return packing.sequences ? packing.sequences[batch] : PackedSequence{0, seq_q, 0, seq_k, 0};
  }
  // The batch as tensors count it.
  __device__ int tensor_batch(int batch) const { return packing.sequences ? 0 : batch; }
  __device__ bool get(int turn, AttentionTile& tile) const {
    if (!packing.tiles) {
      if (!schedule.get(turn, tile)) return false;
      if (batches_together) tile = {tile.row_block, tile.batch, tile.head};
      return true;
    }
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    const int rank = turn * blocks + (turn % 2 ? blocks - 1 - block : block);
    if (rank >= packing.tile_count * num_heads) return false;
    const PackedTile its = packing.tiles[rank / num_heads];
    tile = {its.block, rank % num_heads, its.sequence};
    return true;
  }
};

// The blocks of keys that a tile of queries sees, the last one first.
template <class Traits>
struct KeyWalk {
  const MaskView mask;
  int first_row, first, end;
  int whole_begin, whole_end;  // the keys that all rows see, as far as the window goes

  __device__ __forceinline__ KeyWalk(const ForwardOptionParams& p, const PackedSequence& s,
                                     const AttentionTile& tile)
      : mask(p.score.mask, tile.batch, tile.head), first_row(tile.row_block * Traits::kRows) {
    const int last_row = min(first_row + Traits::kRows, s.seq_q) - 1;
    const Span begins = seen_keys(p.score, s, first_row), ends = seen_keys(p.score, s, last_row);
    first = begins.begin / Traits::kKeys;
    end = ends.end <= begins.begin ? first : (ends.end + Traits::kKeys - 1) / Traits::kKeys;
    whole_begin = ends.begin, whole_end = begins.end;
  }
  __device__ __forceinline__ int kind(int block) const {
    return mask.kind<Traits::kRows>(first_row, block * Traits::kKeys);
  }
  // The next one before `block`; first - 1 when there is none.
  __device__ __forceinline__ int before(int block) const {
    do --block;
    while (block >= first && !(kind(block) & kMaskSomeTrue));
    return block;
  }
  __device__ __forceinline__ bool partly(int block) const {
    return block * Traits::kKeys < whole_begin || (block + 1) * Traits::kKeys > whole_end;
  }
};

template <class Traits>
__device__ __forceinline__ void load_option_tiles(const ForwardOptionParams& p,
                                                  typename Traits::Shared& shared) {
  RingPosition<Traits::kQueryStages> q_at;
  RingPosition<Traits::kStages> k_at, v_at;
  AttentionTile tile;
  for (int turn = 0; p.get(turn, tile); ++turn) {
    const PackedSequence s = p.sequence(tile.batch);
    const KeyWalk<Traits> walk(p, s, tile);
    int block = walk.before(walk.end);
    if (block < walk.first) continue;
    const int kv_head = tile.head / p.group, batch = p.tensor_batch(tile.batch);
    const auto load_k = [&](int at) {
      shared.k_free[k_at.stage].wait(k_at.parity ^ 1);
      hopper::load_tile(shared.k[k_at.stage], p.k, shared.k_full[k_at.stage], Traits::kHeadDim, Traits::kKeys,
                        s.first_key + at * Traits::kKeys, kv_head, batch);
      k_at.next();
    };
    shared.q_free[q_at.stage].wait(q_at.parity ^ 1);
    hopper::load_tile(shared.q[q_at.stage], p.q, shared.q_full[q_at.stage], Traits::kHeadDim, Traits::kRows,
                      s.first_query + tile.row_block * Traits::kRows, tile.head, batch);
    q_at.next();
    load_k(block);
    while (block >= walk.first) {
      const int next = walk.before(block);
      if (next >= walk.first) load_k(next);
      shared.v_free[v_at.stage].wait(v_at.parity ^ 1);
      hopper::load_tile(shared.v[v_at.stage], p.v, shared.v_full[v_at.stage], Traits::kValueDim,
                        Traits::kKeys, s.first_key + block * Traits::kKeys, kv_head, batch);
      v_at.next();
      block = next;
    }
  }
}

// Another thread's work, so that no key waits for a bias.
template <class Traits>
__device__ __forceinline__ void load_bias_tiles(const ForwardOptionParams& p,
                                                typename Traits::Shared& shared) {
  RingPosition<1> at;
  AttentionTile tile;
  for (int turn = 0; p.get(turn, tile); ++turn) {
    const KeyWalk<Traits> walk(p, p.sequence(tile.batch), tile);
    for (int block = walk.before(walk.end); block >= walk.first; block = walk.before(block)) {
      for (int group = 0; group < Traits::kGroups; ++group) {
        shared.bias_free[group].wait(at.parity ^ 1);
        shared.bias_full[group].arrive_expecting(sizeof(shared.bias[group]));
        for (int key = 0; key < Traits::kKeys; key += 64)
          p.bias.load(shared.bias[group] + key / 64 * kBiasTile, shared.bias_full[group],
                      tile.row_block * Traits::kRows + group * 64, block * Traits::kKeys + key, tile.head,
                      tile.batch);
      }
      at.next();
    }
  }
}

}  // namespace zeta::cuda
