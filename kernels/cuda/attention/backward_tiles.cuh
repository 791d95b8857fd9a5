// What the backward kernel works on: its parameters, the tiles that lie in shared memory, and the warp that
// loads them.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/hopper/tma.cuh"

namespace zeta::cuda {

using hopper::Barrier;
using hopper::RingPosition;

struct BackwardParams {
  CUtensorMap q, k, v, grad_out;
  int seq_q, seq_k, num_heads, group;  // group: query heads a kv head
  int head_dim, value_dim;
  int query_blocks;
  float scale;
  const float*
      statistics;  // (batch, num_heads, query_blocks, 2, kQueries): lse · log2 e, +inf where none; delta
  float* grad_q;   // (batch, num_heads, query_blocks, 2, kHeadDim · kQueries / 2), see add_grad_q
  void *grad_k, *grad_v;
  int64_t grad_k_strides[3], grad_v_strides[3];  // batch, seq, head
};

template <int kHeadDim_, int kQueries_, bool kCausal_, typename T_>
struct BackwardTraits {
  using T = T_;
  static constexpr int kHeadDim = kHeadDim_, kKeys = 128;
  static constexpr int kQueries = kQueries_;  // a step's
  static constexpr bool kCausal = kCausal_;
  static constexpr int kThreads = 384, kStages = 2;
  static constexpr int kKeyBytes = kKeys * kHeadDim * 2, kQueryBytes = kQueries * kHeadDim * 2,
                       kScoreBytes = kKeys * kQueries * 2, kStatisticsBytes = 2 * kQueries * 4;
  static_assert(kHeadDim * kQueries == 8192, "a warpgroup's part of dQ is 64 × 64");

  struct Shared {
    alignas(1024) char k[kKeyBytes];
    alignas(1024) char v[kKeyBytes];
    alignas(1024) char q[kStages][kQueryBytes];
    alignas(1024) char grad_out[kStages][kQueryBytes];
    alignas(1024) char grad_scores[2][kScoreBytes];
    float statistics[kStages][2][kQueries];
    Barrier kv_full;
    Barrier q_full[kStages], q_free[kStages];
    Barrier grad_full[kStages], grad_free[kStages];
  };
  static constexpr int kSharedBytes = sizeof(Shared) + 1024;
};

// The steps of a block of keys: for each head of its group, blocks of queries from `first` on; before `whole`
// some query does not see some key.
template <class Traits>
struct QuerySteps {
  int first, whole;
  __device__ __forceinline__ QuerySteps(const BackwardParams& p, int first_key) {
    const int behind = p.seq_k - p.seq_q, last_key = first_key + Traits::kKeys - 1;
    first = Traits::kCausal ? min(p.query_blocks, max(0, first_key - behind) / Traits::kQueries) : 0;
    whole = Traits::kCausal ? (max(0, last_key - behind) + Traits::kQueries - 1) / Traits::kQueries : 0;
    whole = last_key >= p.seq_k ? p.query_blocks : min(whole, p.query_blocks);
  }
};

template <class Traits>
__device__ __forceinline__ void load_steps(const BackwardParams& p, typename Traits::Shared& shared,
                                           int first_key, int kv_head, int batch) {
  const QuerySteps<Traits> steps(p, first_key);
  if (steps.first >= p.query_blocks) return;
  RingPosition<Traits::kStages> at;
  shared.kv_full.arrive_expecting(2 * Traits::kKeyBytes);
  for (int column = 0; column < Traits::kHeadDim; column += 64) {
    hopper::load_box(shared.k + column * Traits::kKeys * 2, p.k, shared.kv_full, column, first_key, kv_head,
                     batch);
    hopper::load_box(shared.v + column * Traits::kKeys * 2, p.v, shared.kv_full, column, first_key, kv_head,
                     batch);
  }
  for (int head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
    const float* statistics =
        p.statistics + (int64_t{batch} * p.num_heads + head) * p.query_blocks * 2 * Traits::kQueries;
    for (int step = steps.first; step < p.query_blocks; ++step) {
      const int row = step * Traits::kQueries;
      shared.q_free[at.stage].wait(at.parity ^ 1);
      hopper::load_tile(shared.q[at.stage], p.q, shared.q_full[at.stage], Traits::kHeadDim, Traits::kQueries,
                        row, head, batch);
      shared.grad_free[at.stage].wait(at.parity ^ 1);
      Barrier& full = shared.grad_full[at.stage];
      full.arrive_expecting(Traits::kQueryBytes + Traits::kStatisticsBytes);
      hopper::load_bytes(shared.statistics[at.stage], statistics + int64_t{step} * 2 * Traits::kQueries,
                         Traits::kStatisticsBytes, full);
      for (int column = 0; column < Traits::kHeadDim; column += 64)
        hopper::load_box(shared.grad_out[at.stage] + column * Traits::kQueries * 2, p.grad_out, full, column,
                         row, head, batch);
      at.next();
    }
  }
}

}  // namespace zeta::cuda
