// The backward's warpgroups for heads of 129 to 256: the sums of 64 keys alone would fill a warpgroup's
// registers, so both warpgroups work on the same 64 keys. Each makes the scores of half a step's queries,
// passes P and dS through shared memory, and owns half of the columns of dV, dK and dQ.
#pragma once

#include "kernels/cuda/attention/backward_edit.cuh"
#include "kernels/cuda/attention/backward_steps.cuh"
#include "kernels/cuda/attention/rows.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace zeta::cuda {

template <class Traits>
struct WideKeyWorker;

template <typename T_>
struct WideTraits {
  using T = T_;
  using Worker = WideKeyWorker<WideTraits>;
  static constexpr int kHeadDim = 256, kKeys = 64, kQueries = 64;
  static constexpr int kThreads = 384, kStages = 2;
  static constexpr int kKeyBytes = kKeys * kHeadDim * 2, kQueryBytes = kQueries * kHeadDim * 2,
                       kScoreBytes = kKeys * kQueries * 2, kStatisticsBytes = 2 * kQueries * 4;

  struct Shared {
    alignas(1024) char k[kKeyBytes];
    alignas(1024) char v[kKeyBytes];
    alignas(1024) char q[kStages][kQueryBytes];
    alignas(1024) char grad_out[kStages][kQueryBytes];
    alignas(1024) char probabilities[2][kScoreBytes];
    alignas(1024) char grad_scores[2][kScoreBytes];
    float statistics[kStages][2][kQueries];
    Barrier kv_full;
    Barrier q_full[kStages], q_free[kStages];
    Barrier grad_full[kStages], grad_free[kStages];
    PackedSequence sequence;
    StepInfo infos[kStages];
  };
  static constexpr int kSharedBytes = sizeof(Shared) + 1024;
  static_assert(kSharedBytes <= 227 * 1024, "what a block may have");
};

template <class Traits>
struct WideKeyWorker {
  using T = typename Traits::T;
  static constexpr int kSlab = 64 * 128;   // 64 columns of 64 rows
  static constexpr int kColumns = 32;      // queries whose scores a warpgroup makes
  static constexpr int kHalf = 2 * kSlab;  // from a warpgroup's columns to the other's
  const BackwardOptionParams& p;
  typename Traits::Shared& shared;
  const int group, thread;
  RingPosition<Traits::kStages> at_stage;
  int turn = 0;
  float scores[16], grad_scores[16];
  float grad_q[64], grad_k[64], grad_v[64];
  uint32_t left[2][4];

  __device__ __forceinline__ WideKeyWorker(const BackwardOptionParams& params,
                                           typename Traits::Shared& shared_, int group_, int thread_)
      : p(params), shared(shared_), group(group_), thread(thread_) {}

  __device__ __forceinline__ void release(Barrier& barrier) {
    if (thread == 0) barrier.arrive();
  }

  // Starts d (64 keys × 32 queries) = keys · queriesᵀ.
  __device__ __forceinline__ void start_scores(float (&d)[16], const char* keys, const char* queries) {
    const uint64_t a = hopper::matrix_descriptor(keys),
                   b = hopper::matrix_descriptor(queries + group * kColumns * 128);
    hopper::pin(d);
    hopper::wgmma_fence();
#pragma unroll
    for (int c = 0; c < Traits::kHeadDim; c += 16)
      hopper::wgmma<T>(d, hopper::advance(a, c / 64 * kSlab + c % 64 * 2),
                       hopper::advance(b, c / 64 * kSlab + c % 64 * 2), c > 0);
    hopper::wgmma_commit();
  }

  // Starts d (64 keys × 128 columns) += a (64 keys × 64 queries) · queries.
  __device__ __forceinline__ void start_sum(float (&d)[64], const char* a_rows, const char* queries,
                                            bool accumulate) {
    const uint64_t a = hopper::matrix_descriptor(a_rows),
                   b = hopper::matrix_descriptor(queries + group * kHalf, kSlab);
    hopper::pin(d);
    hopper::wgmma_fence();
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 16; ++i)
      hopper::wgmma<T, 0, 1>(d, hopper::advance(a, i * 32), hopper::advance(b, i * 16 * 128),
                             accumulate || i > 0);
    hopper::wgmma_commit();
  }

  // Starts dQ (64 queries × 128 columns) = dS · K.
  __device__ __forceinline__ void start_grad_q(const char* grad_scores_t) {
    const uint64_t a = hopper::matrix_descriptor(grad_scores_t),
                   b = hopper::matrix_descriptor(shared.k + group * kHalf, kSlab);
    hopper::pin(grad_q);
    hopper::wgmma_fence();
#pragma unroll
    for (int i = 0; i < Traits::kKeys / 16; ++i)
      hopper::wgmma<T, 1, 1>(grad_q, hopper::advance(a, i * 16 * 128), hopper::advance(b, i * 16 * 128),
                             i > 0);
    hopper::wgmma_commit();
  }

  // `left`, as rows of keys of 64 queries each, swizzled as the tensor cores expect it.
  __device__ __forceinline__ void share(char* to) {
    const int lane = thread % 32, matrix = lane / 8;
    const int key = thread / 32 * 16 + matrix % 2 * 8 + lane % 8;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int query = group * kColumns + 16 * i + matrix / 2 * 8;
      const uint32_t address = hopper::shared_address(to) + key * 128 + ((query * 2) ^ (key % 8 * 16));
      asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                   "r"(left[i][0]), "r"(left[i][1]), "r"(left[i][2]), "r"(left[i][3])
                   : "memory");
    }
    hopper::publish_shared();
  }

  __device__ __forceinline__ void add_grad_q(float* to) {
    to += (group * 16 * 128 + thread) * 4;
#pragma unroll
    for (int i = 0; i < 16; ++i)
      asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + i * 512), "f"(grad_q[4 * i]),
                   "f"(grad_q[4 * i + 1]), "f"(grad_q[4 * i + 2]), "f"(grad_q[4 * i + 3])
                   : "memory");
  }

  __device__ __forceinline__ void work(int first_key, int kv_head, int batch) {
    const PackedSequence& s = shared.sequence;
#pragma unroll
    for (int i = 0; i < 64; ++i) grad_k[i] = grad_v[i] = 0;
    shared.kv_full.wait(0);
    StepEditor<T, kColumns> editor(p.score);
    for (;;) {
      const int stage = at_stage.stage;
      const StepInfo& info = shared.infos[stage];
      shared.q_full[stage].wait(at_stage.parity);
      if (info.step < 0) break;
      const StepPlace at = {s, info, batch, first_key + thread / 32 * 16,
                            info.step * Traits::kQueries + group * kColumns};
      editor.draw(at, p.num_heads);
      start_scores(scores, shared.k, shared.q[stage]);
      shared.grad_full[stage].wait(at_stage.parity);
      start_scores(grad_scores, shared.v, shared.grad_out[stage]);
      hopper::wgmma_wait<0>();
      hopper::pin(scores);
      hopper::pin(grad_scores);
      const float(*statistics)[Traits::kQueries] = shared.statistics[stage];
      editor.exponentiate(
          at, scores, [](auto&) {}, statistics[0] + group * kColumns, left);
      share(shared.probabilities[turn]);
      editor.differentiate(at, p.grad_bias, scores, grad_scores, statistics[1] + group * kColumns, left);
      share(shared.grad_scores[turn]);
      const SharedSum<Traits> sum(p, at, group);
      hopper::named_sync(1, 256);  // from here on `info` may be that of a later step
      start_grad_q(shared.grad_scores[turn]);
      start_sum(grad_v, shared.probabilities[turn], shared.grad_out[stage], true);
      start_sum(grad_k, shared.grad_scores[turn], shared.q[stage], true);
      hopper::wgmma_wait<0>();
      hopper::pin(grad_q);
      hopper::pin(grad_v);
      hopper::pin(grad_k);
      release(shared.grad_free[stage]);
      release(shared.q_free[stage]);
      sum.await(group, thread);
      add_grad_q(sum.data);
      sum.pass(group, thread);
      at_stage.next();
      turn ^= 1;
    }
    write(s, first_key, kv_head, batch);
  }

  __device__ __forceinline__ void write(const PackedSequence& s, int first_key, int kv_head, int batch) {
#pragma unroll
    for (float& x : grad_k) x *= p.scale;
    const int key = first_key + thread / 32 * 16 + thread % 32 / 4, column = group * 128;
    const auto row = [&](void* data, const int64_t(&strides)[3]) {
      return static_cast<T*>(data) + tensor_batch(p, batch) * strides[0] + (s.first_key + key) * strides[1] +
             kv_head * strides[2] + column;
    };
    write_rows(grad_k, row(p.grad_k, p.grad_k_strides), p.grad_k_strides[1], s.seq_k - key,
               p.head_dim - column);
    write_rows(grad_v, row(p.grad_v, p.grad_v_strides), p.grad_v_strides[1], s.seq_k - key,
               p.value_dim - column);
  }
};

}  // namespace zeta::cuda
