// The backward kernel for GPUs from Ampere on. A block owns kKeys keys of a head and walks over the queries
// that see them; to dQ all blocks of a head add in fp32.
#pragma once

#include "kernels/cuda/attention/ampere/backward_warp.cuh"

namespace zeta::cuda::ampere {

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, Traits::kBlocks)
    ampere_backward_kernel(const __grid_constant__ BackwardParams p) {
  constexpr int kDim = Traits::kDim, kThreads = Traits::kThreads, kQueries = Traits::kQueries,
                kStages = Traits::kStages;
  extern __shared__ __align__(128) char raw[];
  auto& shared = *reinterpret_cast<typename Traits::Shared*>(raw);
  const int first_key = static_cast<int>(blockIdx.x) * Traits::kKeys, kv_head = static_cast<int>(blockIdx.y),
            batch = static_cast<int>(blockIdx.z);
  BackwardWarp<Traits> warps(p, shared);
  const Span seeing = p.band.queries_of(first_key, Traits::kKeys),
             all = p.band.queries_of_all(first_key, Traits::kKeys);
  const int first_step = seeing.begin / kQueries;
  const int steps = seeing.end > seeing.begin ? (seeing.end + kQueries - 1) / kQueries - first_step : 0;
  const int total = steps * p.group;
  const float scale_log2 = p.scale * 1.44269504088896340736f;

  struct Place {
    int head, step;
  };
  Place loading = {kv_head * p.group, first_step}, now = loading;
  const auto advance = [&](Place& at) {
    if (++at.step == first_step + steps) at.step = first_step, ++at.head;
  };
  const auto block_of = [&](const Place& at) {
    return (int64_t{batch} * p.num_heads + at.head) * p.query_blocks + at.step;
  };
  const auto load = [&](int stage) {
    const HeadRows q(p.q, batch, loading.head, p.head_dim),
        grad(p.grad_out, batch, loading.head, p.value_dim);
    load_rows<kDim, kQueries, kThreads>(shared.q[stage], q, loading.step * kQueries, p.band.seq_q);
    load_rows<kDim, kQueries, kThreads>(shared.grad_out[stage], grad, loading.step * kQueries, p.band.seq_q);
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < 2 * kQueries / 4)
      copy_16_async(&shared.statistics[stage][0][0] + 4 * thread,
                    p.statistics + block_of(loading) * 2 * kQueries + 4 * thread, true);
    advance(loading);
  };

  if (total > 0) {
    const HeadRows k(p.k, batch, kv_head, p.head_dim), v(p.v, batch, kv_head, p.value_dim);
    load_rows<kDim, Traits::kKeys, kThreads>(shared.k, k, first_key, p.band.seq_k);
    load_rows<kDim, Traits::kKeys, kThreads>(shared.v, v, first_key, p.band.seq_k);
    load(0);
    commit_copies();
    for (int i = 0; i < total; ++i) {
      const int stage = kStages == 2 ? i & 1 : 0;
      if (kStages == 1 && i > 0) {
        __syncthreads();
        load(0);
        commit_copies();
      }
      wait_for_copies<0>();
      __syncthreads();
      if (kStages == 2 && i + 1 < total) load(stage ^ 1);
      commit_copies();
      const int query = now.step * kQueries;
      const bool partly = query < all.begin || query + kQueries > all.end;
      warps.work(stage, first_key, query, partly, scale_log2);
      __syncthreads();
      warps.add_grad_q(p.sums + block_of(now) * (kQueries * kDim));
      advance(now);
    }
  }
  warps.write(p.grad_k, warps.grad_k, p.scale, first_key, kv_head, batch, p.head_dim);
  warps.write(p.grad_v, warps.grad_v, 1, first_key, kv_head, batch, p.value_dim);
}

}  // namespace zeta::cuda::ampere
