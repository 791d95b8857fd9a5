// The backward kernel for Hopper. A block owns 128 keys of a head, each of two warpgroups 64 of them, and
// walks over the queries that see them. It works on transposed scores, keys × queries, so that P and dS are
// left operands of dV and dK as they lie in registers; dS also goes through shared memory, for dQ, to which
// all blocks of a head add in fp32.
#pragma once

#include "kernels/cuda/attention/backward_tiles.cuh"
#include "kernels/cuda/attention/rows.cuh"
#include "kernels/cuda/attention/softmax.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace zeta::cuda {

// A warpgroup's 64 keys.
template <class Traits>
struct KeyWorker {
  using T = typename Traits::T;
  static constexpr int kKeySlab = Traits::kKeys * 128, kQuerySlab = Traits::kQueries * 128;
  const BackwardParams& p;
  typename Traits::Shared& shared;
  const int group, thread;
  RingPosition<Traits::kStages> q_at, grad_at;
  int turn = 0;
  float scores[Traits::kQueries / 2],
      grad_scores[Traits::kQueries / 2];  // accumulators, never written by hand
  float probabilities[Traits::kQueries / 2];
  float grad_q[32];
  float grad_k[Traits::kHeadDim / 2], grad_v[Traits::kHeadDim / 2];
  uint32_t left[Traits::kQueries / 16][4];       // P, the left operand of dV
  uint32_t grad_left[Traits::kQueries / 16][4];  // dS, that of dK

  __device__ __forceinline__ KeyWorker(const BackwardParams& params, typename Traits::Shared& shared_,
                                       int group_, int thread_)
      : p(params), shared(shared_), group(group_), thread(thread_) {}

  __device__ __forceinline__ void release(Barrier& barrier) {
    if (thread == 0) barrier.arrive();
  }

  // Starts d (64 keys × queries) = keys · queriesᵀ.
  __device__ __forceinline__ void start_scores(float (&d)[Traits::kQueries / 2], const char* keys,
                                               const char* queries) {
    const uint64_t a = hopper::matrix_descriptor(keys + group * 64 * 128),
                   b = hopper::matrix_descriptor(queries);
    hopper::pin(d);
    hopper::wgmma_fence();
#pragma unroll
    for (int c = 0; c < Traits::kHeadDim; c += 16)
      hopper::wgmma<T>(d, hopper::advance(a, c / 64 * kKeySlab + c % 64 * 2),
                       hopper::advance(b, c / 64 * kQuerySlab + c % 64 * 2), c > 0);
    hopper::wgmma_commit();
  }

  // Starts d (64 keys × head_dim) += a (64 keys × queries) · queries.
  __device__ __forceinline__ void start_sum(float (&d)[Traits::kHeadDim / 2],
                                            const uint32_t (&a)[Traits::kQueries / 16][4],
                                            const char* queries, bool accumulate) {
    const uint64_t b = hopper::matrix_descriptor(queries, kQuerySlab);
    hopper::pin(d);
    hopper::wgmma_fence();
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 16; ++i)
      hopper::wgmma<T, 1>(d, a[i], hopper::advance(b, i * 16 * 128), accumulate || i > 0);
    hopper::wgmma_commit();
  }

  // Starts a quarter's share of dQ = dS · K over all 128 keys: 64 queries × 64 columns.
  __device__ __forceinline__ void start_grad_q(const char* grad_scores_t) {
    constexpr bool kSplitQueries = Traits::kQueries == 128;
    const uint64_t a = hopper::matrix_descriptor(grad_scores_t + (kSplitQueries ? group * kKeySlab : 0)),
                   b = hopper::matrix_descriptor(shared.k + (kSplitQueries ? 0 : group * kKeySlab));
    hopper::pin(grad_q);
    hopper::wgmma_fence();
#pragma unroll
    for (int i = 0; i < Traits::kKeys / 16; ++i)
      hopper::wgmma<T, 1, 1>(grad_q, hopper::advance(a, i * 16 * 128), hopper::advance(b, i * 16 * 128),
                             i > 0);
    hopper::wgmma_commit();
  }

  // P from scores and the log-sum-exp of each query, and P rounded.
  template <bool kPartly>
  __device__ __forceinline__ void exponentiate(const float* lse, int first_key, int first_query) {
    const float scale_log2 = p.scale * 1.44269504088896340736f;
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 2; i += 4) {
      const float2 base = *reinterpret_cast<const float2*>(lse + 2 * i + thread % 4 * 2);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        probabilities[i + j] = exp2_approx(scores[i + j] * scale_log2 - (j % 2 ? base.y : base.x));
    }
    if (kPartly)
      exclude(first_key + group * 64 + thread / 32 * 16 + thread % 32 / 4, first_query + thread % 4 * 2);
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 2; i += 2)
      left[i / 8][i / 2 % 4] = pack(probabilities[i], probabilities[i + 1], T());
  }

  // 0 where a query does not see a key.
  __device__ __forceinline__ void exclude(int first_key, int first_query) {
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 2; ++i) {
      const int key = first_key + i / 2 % 2 * 8, query = first_query + i / 4 * 8 + i % 2;
      if (key >= p.seq_k || (Traits::kCausal && key > query + p.seq_k - p.seq_q)) probabilities[i] = 0;
    }
  }

  // dS = P · (dP − delta), rounded.
  __device__ __forceinline__ void differentiate(const float* delta) {
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 2; i += 4) {
      const float2 base = *reinterpret_cast<const float2*>(delta + 2 * i + thread % 4 * 2);
#pragma unroll
      for (int j = 0; j < 4; j += 2)
        grad_left[i / 8][i / 2 % 4 + j / 2] =
            pack(probabilities[i + j] * (grad_scores[i + j] - base.x),
                 probabilities[i + j + 1] * (grad_scores[i + j + 1] - base.y), T());
    }
  }

  // dS, rounded, as rows of keys of 64 queries each, swizzled as the tensor cores expect it.
  __device__ __forceinline__ void share_grad_scores(char* to) {
    const int lane = thread % 32, matrix = lane / 8;
    const int key = group * 64 + thread / 32 * 16 + matrix % 2 * 8 + lane % 8;
#pragma unroll
    for (int i = 0; i < Traits::kQueries / 16; ++i) {
      const int query = 16 * i + matrix / 2 * 8;
      const uint32_t address = hopper::shared_address(to) + query / 64 * kKeySlab + key * 128 +
                               ((query % 64 * 2) ^ (key % 8 * 16));
      asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                   "r"(grad_left[i][0]), "r"(grad_left[i][1]), "r"(grad_left[i][2]), "r"(grad_left[i][3])
                   : "memory");
    }
    hopper::publish_shared();
  }

  // Adds dQ in the order in which threads hold it, which finish_backward knows: 16 bytes a thread, 512 a
  // warp.
  __device__ __forceinline__ void add_grad_q(float* to) {
    to += (group * 8 * 128 + thread) * 4;
#pragma unroll
    for (int i = 0; i < 8; ++i)
      asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + i * 512), "f"(grad_q[4 * i]),
                   "f"(grad_q[4 * i + 1]), "f"(grad_q[4 * i + 2]), "f"(grad_q[4 * i + 3])
                   : "memory");
  }

  // A block of queries: adds to grad_k and grad_v, and to grad_q in memory. kPartly: some query does not see
  // some key.
  template <bool kPartly>
  __device__ __forceinline__ void take_step(int first_key, int first_query, float* grad_q_to,
                                            bool accumulate) {
    shared.q_full[q_at.stage].wait(q_at.parity);
    start_scores(scores, shared.k, shared.q[q_at.stage]);
    shared.grad_full[grad_at.stage].wait(grad_at.parity);
    start_scores(grad_scores, shared.v, shared.grad_out[grad_at.stage]);
    hopper::wgmma_wait<1>();
    hopper::pin(scores);
    exponentiate<kPartly>(shared.statistics[grad_at.stage][0], first_key, first_query);
    start_sum(grad_v, left, shared.grad_out[grad_at.stage], accumulate);
    hopper::wgmma_wait<1>();
    hopper::pin(grad_scores);
    differentiate(shared.statistics[grad_at.stage][1]);
    share_grad_scores(shared.grad_scores[turn]);
    hopper::named_sync(1, 256);
    start_grad_q(shared.grad_scores[turn]);
    start_sum(grad_k, grad_left, shared.q[q_at.stage], accumulate);
    hopper::wgmma_wait<1>();
    hopper::pin(grad_q);
    release(shared.grad_free[grad_at.stage]);
    add_grad_q(grad_q_to);
    hopper::wgmma_wait<0>();
    hopper::pin(grad_k);
    release(shared.q_free[q_at.stage]);
    q_at.next();
    grad_at.next();
    turn ^= 1;
  }

  __device__ __forceinline__ void work(int first_key, int kv_head, int batch) {
    const QuerySteps<Traits> steps(p, first_key);
    if (steps.first >= p.query_blocks) {
#pragma unroll
      for (int i = 0; i < Traits::kHeadDim / 2; ++i) grad_k[i] = grad_v[i] = 0;
      return write(first_key, kv_head, batch);
    }
    shared.kv_full.wait(0);
    bool accumulate = false;
    for (int head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
      float* grad_q_to = p.grad_q + ((int64_t{batch} * p.num_heads + head) * p.query_blocks + steps.first) *
                                        (Traits::kHeadDim * Traits::kQueries);
      int step = steps.first;
      // Two copies of the step's code, as one that asks would compute the exclusions each time.
      for (; step < steps.whole; ++step, accumulate = true, grad_q_to += Traits::kHeadDim * Traits::kQueries)
        take_step<true>(first_key, step * Traits::kQueries, grad_q_to, accumulate);
      for (; step < p.query_blocks;
           ++step, accumulate = true, grad_q_to += Traits::kHeadDim * Traits::kQueries)
        take_step<false>(first_key, step * Traits::kQueries, grad_q_to, accumulate);
    }
    hopper::wgmma_wait<0>();
    hopper::pin(grad_k);
    hopper::pin(grad_v);
    write(first_key, kv_head, batch);
  }

  __device__ __forceinline__ void write(int first_key, int kv_head, int batch) {
#pragma unroll
    for (float& x : grad_k) x *= p.scale;
    const int key = first_key + group * 64 + thread / 32 * 16 + thread % 32 / 4;
    const auto row = [&](void* data, const int64_t(&strides)[3]) {
      return static_cast<T*>(data) + batch * strides[0] + key * strides[1] + kv_head * strides[2];
    };
    write_rows(grad_k, row(p.grad_k, p.grad_k_strides), p.grad_k_strides[1], p.seq_k - key, p.head_dim);
    write_rows(grad_v, row(p.grad_v, p.grad_v_strides), p.grad_v_strides[1], p.seq_k - key, p.value_dim);
  }
};

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    backward_kernel(const __grid_constant__ BackwardParams p) {
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
  __syncthreads();
  const int first_key = static_cast<int>(blockIdx.x) * Traits::kKeys;
  const int kv_head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  if (group == 0) {
    hopper::release_registers<24>();
    if (threadIdx.x == 0) load_steps<Traits>(p, shared, first_key, kv_head, batch);
  } else {
    hopper::claim_registers<240>();
    KeyWorker<Traits>(p, shared, group - 1, static_cast<int>(threadIdx.x) % 128)
        .work(first_key, kv_head, batch);
  }
}

}  // namespace zeta::cuda
