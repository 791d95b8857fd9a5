// Which tiles the forward with options has, which keys each sees, and the warp that loads them.
#pragma once

#include "kernels/cuda/attention/forward_tiles.cuh"
#include "kernels/cuda/attention/mask_view.cuh"
#include "kernels/cuda/attention/score.cuh"

namespace zeta::cuda {

struct ForwardOptionParams : ForwardParams {
  ScoreParams score;
  AttentionPacking packing;
  int64_t lse_batch_stride, lse_head_stride;

  __device__ PackedSequence sequence(int batch) const {
    return packing.sequences ? packing.sequences[batch] : PackedSequence{0, seq_q, 0, seq_k, 0};
  }
  // The batch as tensors count it.
  __device__ int tensor_batch(int batch) const { return packing.sequences ? 0 : batch; }
  __device__ bool get(int turn, AttentionTile& tile) const {
    if (!packing.tiles) return schedule.get(turn, tile);
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

}  // namespace zeta::cuda
