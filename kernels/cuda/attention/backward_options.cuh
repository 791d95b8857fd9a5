// The backward kernel with options: backward_sm90.cuh's tiles, rings and products, but what options do to
// scores runs between products that have ended, and steps that nobody sees are left out.
#pragma once

#include "kernels/cuda/attention/backward_edit.cuh"
#include "kernels/cuda/attention/backward_sm90.cuh"
#include "kernels/cuda/attention/backward_steps.cuh"

namespace zeta::cuda {

// A warpgroup's 64 keys of 128, with all queries of a step.
template <class Traits>
struct OptionKeyWorker : KeyWorker<Traits> {
  using Base = KeyWorker<Traits>;
  using T = typename Traits::T;
  using Base::scores, Base::grad_scores, Base::grad_q, Base::grad_k, Base::grad_v, Base::left,
      Base::grad_left;
  using Base::shared, Base::group, Base::thread, Base::q_at, Base::grad_at, Base::turn;
  const BackwardOptionParams& p;

  __device__ __forceinline__ OptionKeyWorker(const BackwardOptionParams& params,
                                             typename Traits::Shared& shared_, int group_, int thread_)
      : Base(params, shared_, group_, thread_), p(params) {}

  __device__ __forceinline__ void work(int first_key, int kv_head, int batch) {
    const PackedSequence& s = shared.sequence;
#pragma unroll
    for (int i = 0; i < Traits::kHeadDim / 2; ++i) grad_k[i] = grad_v[i] = 0;
    shared.kv_full.wait(0);
    StepEditor<T, Traits::kQueries> editor(p.score);
    const auto add_bias = [&](float(&x)[Traits::kQueries / 2]) {
      if (p.bias.used) add_bias_tiles<T, true>(x, shared.grad_scores[turn] + group * kBiasTile, kBiasStep);
    };
    for (;;) {
      const StepInfo& info = shared.infos[q_at.stage];
      shared.q_full[q_at.stage].wait(q_at.parity);
      if (info.step < 0) break;
      const StepPlace at = {s, info, batch, first_key + group * 64 + thread / 32 * 16,
                            info.step * Traits::kQueries};
      editor.draw(at, p.num_heads);
      Base::start_scores(scores, shared.k, shared.q[q_at.stage]);
      hopper::wgmma_wait<0>();
      hopper::pin(scores);
      shared.grad_full[grad_at.stage].wait(grad_at.parity);
      editor.exponentiate(at, scores, add_bias, shared.statistics[grad_at.stage][0], left);
      Base::start_sum(grad_v, left, shared.grad_out[grad_at.stage], true);
      if constexpr (Traits::kHeadDim == 64) {  // `left` leaves its registers to the other product
        hopper::wgmma_wait<0>();
        hopper::pin(grad_v);
      }
      Base::start_scores(grad_scores, shared.v, shared.grad_out[grad_at.stage]);
      hopper::wgmma_wait<0>();
      hopper::pin(grad_scores);
      hopper::pin(grad_v);
      editor.differentiate(at, p.grad_bias, scores, grad_scores, shared.statistics[grad_at.stage][1],
                           grad_left);
      if (p.bias.used) hopper::named_sync(2 + group, 128);  // all have read the biases that dS replaces
      Base::share_grad_scores(shared.grad_scores[turn]);
      const SharedSum<Traits> sum(p, at, group);
      hopper::named_sync(1, 256);  // from here on `info` may be that of a later step
      Base::start_grad_q(shared.grad_scores[turn]);
      Base::start_sum(grad_k, grad_left, shared.q[q_at.stage], true);
      hopper::wgmma_wait<0>();
      hopper::pin(grad_q);
      hopper::pin(grad_k);
      Base::release(shared.grad_free[grad_at.stage]);
      Base::release(shared.q_free[q_at.stage]);
      sum.await(group, thread);
      Base::add_grad_q(sum.data);
      sum.pass(group, thread);
      q_at.next();
      grad_at.next();
      turn ^= 1;
    }
    write(s, first_key, kv_head, batch);
  }

  __device__ __forceinline__ void write(const PackedSequence& s, int first_key, int kv_head, int batch) {
#pragma unroll
    for (float& x : grad_k) x *= p.scale;
    const int key = first_key + group * 64 + thread / 32 * 16 + thread % 32 / 4;
    const auto row = [&](void* data, const int64_t(&strides)[3]) {
      return static_cast<T*>(data) + tensor_batch(p, batch) * strides[0] + (s.first_key + key) * strides[1] +
             kv_head * strides[2];
    };
    write_rows(grad_k, row(p.grad_k, p.grad_k_strides), p.grad_k_strides[1], s.seq_k - key, p.head_dim);
    write_rows(grad_v, row(p.grad_v, p.grad_v_strides), p.grad_v_strides[1], s.seq_k - key, p.value_dim);
  }
};

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    backward_options_kernel(const __grid_constant__ BackwardOptionParams p) {
  extern __shared__ char raw[];
  auto& shared = hopper::aligned_shared<typename Traits::Shared>(raw);
  const int group = hopper::warpgroup();
  if (threadIdx.x == 0) {
    shared.kv_full.init(1);
    for (int i = 0; i < Traits::kStages; ++i) {
      shared.q_full[i].init(1), shared.q_free[i].init(2);
      shared.grad_full[i].init(1), shared.grad_free[i].init(2);
    }
    hopper::publish_barriers();
  }
  const auto batch = static_cast<int>(p.batches_together ? blockIdx.y : blockIdx.z),
             kv_head = static_cast<int>(p.batches_together ? blockIdx.z : blockIdx.y);
  PackedTile tile = {static_cast<int>(blockIdx.x), batch};
  if (p.packing.tiles) tile = p.packing.tiles[blockIdx.x];
  if (threadIdx.x == 0) shared.sequence = sequence_of(p, tile.sequence);
  __syncthreads();
  const int first_key = tile.block * Traits::kKeys;
  if (group == 0) {
    hopper::release_registers<24>();
    if (threadIdx.x == 0) load_option_steps<Traits>(p, shared, first_key, kv_head, tile.sequence);
  } else {
    hopper::claim_registers<240>();
    typename Traits::Worker(p, shared, group - 1, static_cast<int>(threadIdx.x) % 128)
        .work(first_key, kv_head, tile.sequence);
  }
}

}  // namespace zeta::cuda
