// The forward kernel for Hopper. One warp loads tiles with the copy engine; each of kGroups warpgroups owns
// 64 rows of queries and works on them with wgmma. While a warpgroup's softmax runs, its own next product and
// the other warpgroups' products keep the tensor cores busy (Shah et al., 2024, §3).
#pragma once

#include "kernels/cuda/attention/forward_barriers.cuh"
#include "kernels/cuda/attention/forward_tiles.cuh"
#include "kernels/cuda/attention/rows.cuh"
#include "kernels/cuda/attention/softmax.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace zeta::cuda {

// A warpgroup's 64 rows of the tiles of queries.
template <class Traits>
struct QueryWorker {
  using T = typename Traits::T;
  // Where a tile has more rows than keys, causality hides whole blocks of keys from a part of the rows.
  static constexpr bool kSkips = Traits::kRows > Traits::kKeys;
  const ForwardParams& p;
  typename Traits::Shared& shared;
  const int group, thread;  // which warpgroup, which thread of it
  RingPosition<Traits::kQueryStages> q_at;
  RingPosition<Traits::kStages> k_at, v_at;
  float scores[Traits::kKeys / 2];
  float out[Traits::kValueDim / 2];
  uint32_t probabilities[Traits::kKeys / 16][4];

  __device__ __forceinline__ QueryWorker(const ForwardParams& params, typename Traits::Shared& shared_,
                                         int group_, int thread_)
      : p(params), shared(shared_), group(group_), thread(thread_) {}

  // Warpgroups take turns at the tensor cores, so that one's softmax runs beside another's products.
  __device__ __forceinline__ void take_turn() { hopper::named_sync(1 + group, 256); }
  __device__ __forceinline__ void pass_turn() {
    hopper::named_arrive(1 + (group + 1) % Traits::kGroups, 256);
  }

  __device__ __forceinline__ void release(Barrier& barrier) {
    if (thread == 0) barrier.arrive();
  }

  // Starts scores = q kᵀ.
  __device__ __forceinline__ void start_scores() {
    constexpr int kSlab = Traits::kRows * 128, kKeySlab = Traits::kKeys * 128;
    const char* q = shared.q[q_at.stage] + group * 64 * 128;
    const uint64_t a = hopper::matrix_descriptor(q), b = hopper::matrix_descriptor(shared.k[k_at.stage]);
    hopper::pin(scores);
    hopper::wgmma_fence();
#pragma unroll
    for (int d = 0; d < Traits::kHeadDim; d += 16)
      hopper::wgmma<T>(scores, hopper::advance(a, d / 64 * kSlab + d % 64 * 2),
                       hopper::advance(b, d / 64 * kKeySlab + d % 64 * 2), d > 0);
    hopper::wgmma_commit();
  }

  // Starts out += probabilities · v.
  __device__ __forceinline__ void start_output(bool accumulate) {
    const uint64_t b = hopper::matrix_descriptor(shared.v[v_at.stage], Traits::kKeys * 128);
    hopper::pin(out);
    hopper::wgmma_fence();
#pragma unroll
    for (int i = 0; i < Traits::kKeys / 16; ++i)
      hopper::wgmma<T, 1>(out, probabilities[i], hopper::advance(b, i * 16 * 128), accumulate || i > 0);
    hopper::wgmma_commit();
  }

  __device__ __forceinline__ void round_probabilities() {
#pragma unroll
    for (int i = 0; i < Traits::kKeys / 16; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        probabilities[i][j] = pack(scores[8 * i + 2 * j], scores[8 * i + 2 * j + 1], T());
  }

  // -inf for keys that a row does not see.
  __device__ __forceinline__ void exclude(int first_row, int first_key) {
    const int row = first_row + group * 64 + thread / 32 * 16 + thread % 32 / 4;
    const int column = first_key + thread % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int end = Traits::kCausal ? min(p.seq_k, row + 8 * half + 1 + p.seq_k - p.seq_q) : p.seq_k;
#pragma unroll
      for (int i = 0; i < Traits::kKeys / 2; i += 4)
#pragma unroll
        for (int j = 0; j < 2; ++j)
          if (column + 2 * i + j >= end) scores[i + 2 * half + j] = -INFINITY;
    }
  }

  // Leaves to the others blocks of keys that none of this warpgroup's rows sees.
  __device__ __forceinline__ void skip(int blocks) {
    for (; blocks > 0; --blocks) {
      shared.k_full[k_at.stage].wait(k_at.parity);
      take_turn();
      pass_turn();
      release(shared.k_free[k_at.stage]);
      k_at.next();
      shared.v_full[v_at.stage].wait(v_at.parity);
      release(shared.v_free[v_at.stage]);
      v_at.next();
    }
  }

  __device__ __forceinline__ void work(const AttentionTile& tile) {
    const int first_row = tile.row_block * Traits::kRows, its_row = first_row + group * 64;
    const KeyBlocks<Traits> loaded(p, first_row, Traits::kRows);
    const KeyBlocks<Traits> blocks = kSkips ? KeyBlocks<Traits>(p, its_row, 64) : loaded;
    OnlineSoftmax softmax;
    if (kSkips) {
      skip(loaded.count - blocks.count);
      if (loaded.count > 0 && blocks.count == 0) {
        release(shared.q_free[q_at.stage]);
        q_at.next();
      }
    }
    if (blocks.count == 0) {
#pragma unroll
      for (float& o : out) o = 0;
      write(tile, softmax.finish(out));
      return;
    }
    const float scale_log2 = p.scale * 1.44269504088896340736f;
    int block = blocks.count - 1;
    shared.q_full[q_at.stage].wait(q_at.parity);
    shared.k_full[k_at.stage].wait(k_at.parity);
    take_turn();
    start_scores();
    pass_turn();
    hopper::wgmma_wait<0>();
    hopper::pin(scores);
    release(shared.k_free[k_at.stage]);
    k_at.next();
    if (block >= blocks.whole) exclude(first_row, block * Traits::kKeys);
    softmax.update(scores, scale_log2);
    round_probabilities();
    bool accumulate = false;
    const auto step = [&](bool partly) {
      shared.k_full[k_at.stage].wait(k_at.parity);
      take_turn();
      start_scores();
      shared.v_full[v_at.stage].wait(v_at.parity);
      start_output(accumulate);
      accumulate = true;
      pass_turn();
      hopper::wgmma_wait<1>();
      hopper::pin(scores);
      release(shared.k_free[k_at.stage]);
      k_at.next();
      if (partly) exclude(first_row, block * Traits::kKeys);
      const bool moved = softmax.update(scores, scale_log2);
      hopper::hold_back(softmax.sum[0] +
                        softmax.sum[1]);  // the softmax runs beside the product, not after it
      hopper::wgmma_wait<0>();
      hopper::pin(out);
      release(shared.v_free[v_at.stage]);
      v_at.next();
      if (moved) softmax.rescale_output(out);
      round_probabilities();
    };
    --block;
    if (Traits::kCausal)
      for (; block >= max(blocks.whole, 0); --block) step(true);
    for (; block >= 0; --block) step(false);
    release(shared.q_free[q_at.stage]);
    q_at.next();
    shared.v_full[v_at.stage].wait(v_at.parity);
    start_output(accumulate);
    hopper::wgmma_wait<0>();
    hopper::pin(out);
    release(shared.v_free[v_at.stage]);
    v_at.next();
    write(tile, softmax.finish(out));
  }

  __device__ __forceinline__ void write(const AttentionTile& tile, float2 lse) {
    const int row = tile.row_block * Traits::kRows + group * 64 + thread / 32 * 16 + thread % 32 / 4;
    float* to_lse = p.lse + (int64_t{tile.batch} * p.num_heads + tile.head) * p.seq_q + row;
    if (thread % 4 == 0 && row < p.seq_q) to_lse[0] = lse.x;
    if (thread % 4 == 0 && row + 8 < p.seq_q) to_lse[8] = lse.y;
    write_rows(out,
               static_cast<T*>(p.out) + tile.batch * p.out_batch_stride + tile.head * p.out_head_stride +
                   row * p.out_seq_stride,
               p.out_seq_stride, p.seq_q - row, p.value_dim);
  }
};

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardParams p) {
  extern __shared__ char raw[];
  auto& shared = hopper::aligned_shared<typename Traits::Shared>(raw);
  const int group = hopper::warpgroup();
  if (threadIdx.x == 0) {
    init_forward_barriers<Traits>(shared);
    hopper::publish_barriers();
  }
  __syncthreads();
  if (group == 0) {
    hopper::release_registers<Traits::kGroups == 2 ? 24 : 32>();
    if (threadIdx.x == 0) load_tiles<Traits>(p, shared);
  } else {
    hopper::claim_registers<Traits::kGroups == 2 ? 240 : 160>();
    QueryWorker<Traits> worker(p, shared, group - 1, static_cast<int>(threadIdx.x) % 128);
    if (group == Traits::kGroups) worker.pass_turn();  // the first warpgroup begins
    AttentionTile tile;
    for (int turn = 0; p.schedule.get(turn, tile); ++turn) worker.work(tile);
  }
}

}  // namespace zeta::cuda
