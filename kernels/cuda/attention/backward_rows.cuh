// What surrounds the backward kernel: each query's statistics before it, dQ from its fp32 sums after it.
#pragma once

#include "kernels/cuda/attention/backward_steps.cuh"
#include "kernels/cuda/attention/rows.cuh"

namespace zeta::cuda {

struct RowParams {
  const void *out, *grad_out;
  int64_t out_strides[3], grad_out_strides[3];  // batch, seq, head
  const float* lse;
  void* grad_q;
  int64_t grad_q_strides[3];
};

__device__ inline float product(uint32_t a, uint32_t b, __nv_bfloat16) {
  const float2 x = __bfloat1622float2(reinterpret_cast<__nv_bfloat162&>(a)),
               y = __bfloat1622float2(reinterpret_cast<__nv_bfloat162&>(b));
  return x.x * y.x + x.y * y.y;
}
__device__ inline float product(uint32_t a, uint32_t b, __half) {
  const float2 x = __half22float2(reinterpret_cast<__half2&>(a)),
               y = __half22float2(reinterpret_cast<__half2&>(b));
  return x.x * y.x + x.y * y.y;
}

// delta = Σ out · grad_out of each query, its lse in base 2, and zeros where dQ will be summed. A query has
// kHeadDim / 8 lanes; blockIdx is (blocks of 256 threads, head, batch).
template <class Traits, class Params>
__global__ void prepare_backward(const Params p, const RowParams rows) {
  using T = typename Traits::T;
  constexpr int kLanes = Traits::kHeadDim / 8;
  const int row = (static_cast<int>(blockIdx.x) * 256 + static_cast<int>(threadIdx.x)) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, head = static_cast<int>(blockIdx.y),
            batch = static_cast<int>(blockIdx.z);
  const PackedSequence s = sequence_of(p, batch);
  const int its_batch = tensor_batch(p, batch);
  const int padded = (s.seq_q + Traits::kQueries - 1) / Traits::kQueries * Traits::kQueries;
  float delta = 0;
  if (row < s.seq_q && 8 * lane < p.value_dim) {
    const auto load = [&](const void* data, const int64_t(&strides)[3]) {
      const T* from = static_cast<const T*>(data) + its_batch * strides[0] +
                      (s.first_query + row) * strides[1] + head * strides[2];
      return *reinterpret_cast<const uint4*>(from + 8 * lane);
    };
    const uint4 a = load(rows.out, rows.out_strides), b = load(rows.grad_out, rows.grad_out_strides);
    delta = product(a.x, b.x, T()) + product(a.y, b.y, T()) + product(a.z, b.z, T()) + product(a.w, b.w, T());
  }
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) delta += __shfl_xor_sync(~0u, delta, distance);
  if (row >= padded) return;
  const int64_t its_head = int64_t{its_batch} * p.num_heads + head,
                first = (its_head * p.query_blocks + s.first_block) * Traits::kQueries;
  auto* sums = reinterpret_cast<float4*>(p.grad_q + (first + row) * Traits::kHeadDim);
  sums[lane] = sums[lane + kLanes] = float4{};
  if (lane != 0) return;
  if (row % Traits::kQueries == 0) clear_turns(p, (first + row) / Traits::kQueries);
  float* to = const_cast<float*>(p.statistics) + (first + row / Traits::kQueries * Traits::kQueries) * 2 +
              row % Traits::kQueries;
  const float lse = row < s.seq_q ? rows.lse[its_head * p.seq_q + s.first_query + row] : -INFINITY;
  to[0] = lse == -INFINITY ? INFINITY : lse * 1.44269504088896340736f;
  to[Traits::kQueries] = delta;
}

// dQ = scale · the sums, which KeyWorker::add_grad_q laid out. blockIdx is (query block, head, batch).
template <class Traits, class Params>
__global__ void __launch_bounds__(256) finish_backward(const Params p, const RowParams rows) {
  using T = typename Traits::T;
  constexpr bool kSplitQueries = Traits::kQueries == 128;
  constexpr int kFloats = Traits::kHeadDim * Traits::kQueries / 256;  // a thread's
  const int head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  const int group = static_cast<int>(threadIdx.x) / 128, thread = static_cast<int>(threadIdx.x) % 128;
  const PackedSequence s = sequence_of(p, batch);
  const int its_batch = tensor_batch(p, batch);
  if (static_cast<int>(blockIdx.x) * Traits::kQueries >= s.seq_q) return;
  const float* from =
      p.grad_q +
      ((int64_t{its_batch} * p.num_heads + head) * p.query_blocks + s.first_block + blockIdx.x) *
          (256 * kFloats) +
      (group * 32 * kFloats + thread) * 4;
  float sums[kFloats];
#pragma unroll
  for (int i = 0; i < kFloats / 4; ++i) {
    const float4 four = *reinterpret_cast<const float4*>(from + i * 512);
    sums[4 * i] = four.x * p.scale, sums[4 * i + 1] = four.y * p.scale;
    sums[4 * i + 2] = four.z * p.scale, sums[4 * i + 3] = four.w * p.scale;
  }
  const int row = static_cast<int>(blockIdx.x) * Traits::kQueries + (kSplitQueries ? group * 64 : 0) +
                  thread / 32 * 16 + thread % 32 / 4;
  const int column = kSplitQueries ? 0 : group * 2 * kFloats;
  T* to = static_cast<T*>(rows.grad_q) + its_batch * rows.grad_q_strides[0] +
          (s.first_query + row) * rows.grad_q_strides[1] + head * rows.grad_q_strides[2] + column;
  write_rows(sums, to, rows.grad_q_strides[1], s.seq_q - row, p.head_dim - column);
}

}  // namespace zeta::cuda
