// The forward kernel with options: forward_sm90.cuh's tiles, rings and turns, but scores are edited between
// the products, which therefore both have ended by then; only the other warpgroup's run beside. Blocks of
// keys that a tile of queries cannot see are not loaded.
#pragma once

#include "kernels/cuda/attention/forward_barriers.cuh"
#include "kernels/cuda/attention/forward_sm90.cuh"
#include "kernels/cuda/attention/forward_walk.cuh"
#include "kernels/cuda/attention/philox.cuh"

namespace zeta::cuda {

template <class Traits>
struct OptionWorker : QueryWorker<Traits> {
  using Base = QueryWorker<Traits>;
  using T = typename Traits::T;
  using Base::shared, Base::scores, Base::out, Base::q_at, Base::k_at, Base::v_at, Base::thread;
  const ForwardOptionParams& p;
  RingPosition<1> bias_at;

  __device__ __forceinline__ OptionWorker(const ForwardOptionParams& params, typename Traits::Shared& shared_,
                                          int group_, int thread_)
      : Base(params, shared_, group_, thread_), p(params) {}

  // The first of this thread's rows of a tile.
  __device__ __forceinline__ int row_of(const AttentionTile& tile) const {
    return tile.row_block * Traits::kRows + Base::group * 64 + thread / 32 * 16 + thread % 32 / 4;
  }

  __device__ __forceinline__ void add_bias() {
    shared.bias_full[Base::group].wait(bias_at.parity);
    add_bias_tiles<T, false>(scores, shared.bias[Base::group], kBiasTile);
    __syncwarp();  // the whole warp has read
    if (thread % 32 == 0) shared.bias_free[Base::group].arrive();
    bias_at.next();
  }

  // From products to probabilities that meet v. True if the output has to be rescaled.
  __device__ __forceinline__ bool soften(const PackedSequence& s, const AttentionTile& tile,
                                         const KeyWalk<Traits>& walk, int block, OnlineSoftmax& softmax,
                                         const Dropout& dropout) {
    const int first_key = block * Traits::kKeys, row = row_of(tile);
    scale_scores(p.score, scores);
    if (p.bias.used) add_bias();
    place_scores<T, false>(p.score, s, scores, tile.batch, tile.head, row, first_key + thread % 4 * 2,
                           walk.partly(block));
    if (walk.kind(block) & kMaskSomeFalse) walk.mask.exclude(scores, row, first_key);
    const bool moved = softmax.update(scores, 1.0f);
    if (dropout.threshold > 0) {
      QueryRowsKept<Traits::kKeys> kept;
      kept.draw(dropout, row, first_key);
      kept.apply(scores);
    }
    return moved;
  }

  __device__ __forceinline__ void work(const AttentionTile& tile) {
    const PackedSequence s = p.sequence(tile.batch);
    const KeyWalk<Traits> walk(p, s, tile);
    const Dropout dropout(p.score.dropout_threshold, p.score.rng_state, tile.batch * p.num_heads + tile.head);
    OnlineSoftmax softmax;
    if (p.score.sinks) {  // a score that meets no value
      softmax.base[0] = softmax.base[1] = p.score.sinks[tile.head] * kLog2E;
      softmax.sum[0] = softmax.sum[1] = thread % 4 == 0 ? 1 : 0;
    }
    int block = walk.before(walk.end);
    if (block < walk.first) {
#pragma unroll
      for (float& o : out) o = 0;
      return write(s, tile, softmax, 1);
    }
    shared.q_full[q_at.stage].wait(q_at.parity);
    shared.k_full[k_at.stage].wait(k_at.parity);
    Base::take_turn();
    Base::start_scores();
    Base::pass_turn();
    hopper::wgmma_wait<0>();
    hopper::pin(scores);
    Base::release(shared.k_free[k_at.stage]);
    k_at.next();
    soften(s, tile, walk, block, softmax, dropout);
    Base::round_probabilities();
    bool accumulate = false;
    for (block = walk.before(block); block >= walk.first; block = walk.before(block)) {
      shared.k_full[k_at.stage].wait(k_at.parity);
      Base::take_turn();
      Base::start_scores();
      shared.v_full[v_at.stage].wait(v_at.parity);
      Base::start_output(accumulate);
      accumulate = true;
      Base::pass_turn();
      hopper::wgmma_wait<0>();
      hopper::pin(scores);
      hopper::pin(out);
      Base::release(shared.k_free[k_at.stage]);
      k_at.next();
      Base::release(shared.v_free[v_at.stage]);
      v_at.next();
      if (soften(s, tile, walk, block, softmax, dropout)) softmax.rescale_output(out);
      Base::round_probabilities();
    }
    Base::release(shared.q_free[q_at.stage]);
    q_at.next();
    shared.v_full[v_at.stage].wait(v_at.parity);
    Base::start_output(accumulate);
    hopper::wgmma_wait<0>();
    hopper::pin(out);
    Base::release(shared.v_free[v_at.stage]);
    v_at.next();
    write(s, tile, softmax, dropout.threshold > 0 ? dropout.kept() : 1);
  }

  __device__ __forceinline__ void write(const PackedSequence& s, const AttentionTile& tile,
                                        OnlineSoftmax& softmax, float factor) {
    const float2 lse = softmax.finish(out);
#pragma unroll
    for (float& o : out) o *= factor;
    const int row = row_of(tile), batch = p.tensor_batch(tile.batch);
    float* to_lse = p.lse + batch * p.lse_batch_stride + tile.head * p.lse_head_stride + s.first_query + row;
    if (thread % 4 == 0 && row < s.seq_q) to_lse[0] = lse.x;
    if (thread % 4 == 0 && row + 8 < s.seq_q) to_lse[8] = lse.y;
    write_rows(out,
               static_cast<T*>(p.out) + batch * p.out_batch_stride + tile.head * p.out_head_stride +
                   (s.first_query + row) * p.out_seq_stride,
               p.out_seq_stride, s.seq_q - row, p.value_dim);
  }
};

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    forward_options_kernel(const __grid_constant__ ForwardOptionParams p) {
  extern __shared__ char raw[];
  auto& shared = hopper::aligned_shared<typename Traits::Shared>(raw);
  const int group = hopper::warpgroup();
  if (threadIdx.x == 0) {
    init_forward_barriers<Traits>(shared);
    for (int i = 0; i < Traits::kGroups; ++i) shared.bias_full[i].init(1), shared.bias_free[i].init(4);
    hopper::publish_barriers();
  }
  __syncthreads();
  if (group == 0) {
    hopper::release_registers<40>();
    if (threadIdx.x == 0) load_option_tiles<Traits>(p, shared);
    if (threadIdx.x == 32 && p.bias.used) load_bias_tiles<Traits>(p, shared);
  } else {
    hopper::claim_registers<232>();
    OptionWorker<Traits> worker(p, shared, group - 1, static_cast<int>(threadIdx.x) % 128);
    if (group == Traits::kGroups) worker.pass_turn();  // the first warpgroup begins
    AttentionTile tile;
    for (int turn = 0; p.get(turn, tile); ++turn) worker.work(tile);
  }
}

}  // namespace zeta::cuda
