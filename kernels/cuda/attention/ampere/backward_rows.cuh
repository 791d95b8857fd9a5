// What surrounds the backward kernel: each query's statistics before it, dQ from its fp32 sums after it.
#pragma once

#include "kernels/cuda/attention/ampere/backward_tiles.cuh"
#include "kernels/cuda/attention/rows.cuh"

namespace zeta::cuda::ampere {

__device__ inline float2 to_floats(uint32_t two, __nv_bfloat16) {
  return __bfloat1622float2(reinterpret_cast<__nv_bfloat162&>(two));
}
__device__ inline float2 to_floats(uint32_t two, __half) {
  return __half22float2(reinterpret_cast<__half2&>(two));
}

// delta = Σ out · grad_out of each query, its lse in base 2, and zeros where dQ will be summed. A query has
// kDim / 8 lanes; blockIdx is (blocks of 256 threads, head, batch).
template <class Traits>
__global__ void ampere_prepare_backward(const __grid_constant__ BackwardParams p) {
  using T = typename Traits::T;
  constexpr int kLanes = Traits::kDim / 8;
  const int row = (static_cast<int>(blockIdx.x) * 256 + static_cast<int>(threadIdx.x)) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, head = static_cast<int>(blockIdx.y),
            batch = static_cast<int>(blockIdx.z);
  const bool exists = row < p.band.seq_q;
  float delta = 0;
  if (exists && 8 * lane < p.value_dim) {
    const auto load = [&](const AttentionTensor& t) {
      const T* from =
          static_cast<const T*>(t.data) + batch * t.batch_stride + row * t.seq_stride + head * t.head_stride;
      return *reinterpret_cast<const uint4*>(from + 8 * lane);
    };
    const uint4 a = load(p.out), b = load(p.grad_out);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 x = to_floats(word(a, i), T()), y = to_floats(word(b, i), T());
      delta += x.x * y.x + x.y * y.y;
    }
  }
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) delta += __shfl_xor_sync(~0u, delta, distance);
  const int64_t its_head = int64_t{batch} * p.num_heads + head, padded = p.query_blocks * Traits::kQueries;
  auto* sums = reinterpret_cast<float4*>(p.sums + (its_head * padded + row) * Traits::kDim);
  sums[lane] = sums[lane + kLanes] = float4{};
  if (lane != 0) return;
  float* to = p.statistics + (its_head * padded + row / Traits::kQueries * Traits::kQueries) * 2 +
              row % Traits::kQueries;
  const float lse = exists ? p.lse[its_head * p.band.seq_q + row] : -INFINITY;
  to[0] = lse == -INFINITY ? INFINITY : lse * 1.44269504088896340736f;
  to[Traits::kQueries] = delta;
}

// dQ = scale · its sums. blockIdx is (query block, head, batch).
template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads)
    ampere_finish_backward(const __grid_constant__ BackwardParams p) {
  using T = typename Traits::T;
  const int head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const QueryPart<Traits> part(static_cast<int>(threadIdx.x) / 32);
  const int64_t block = (int64_t{batch} * p.num_heads + head) * p.query_blocks + blockIdx.x;
  typename QueryPart<Traits>::Sums sums;
  part.read(p.sums + block * (Traits::kQueries * Traits::kDim) + part.offset, sums);
#pragma unroll
  for (int m = 0; m < 2; ++m) {
    auto& flat = reinterpret_cast<float(&)[Traits::kPartColumns / 2]>(sums[m]);
#pragma unroll
    for (float& x : flat) x *= p.scale;
    const int row = static_cast<int>(blockIdx.x) * Traits::kQueries + part.row + 16 * m + lane / 4;
    write_rows(flat,
               static_cast<T*>(p.grad_q.data) + batch * p.grad_q.batch_stride + head * p.grad_q.head_stride +
                   row * p.grad_q.seq_stride + part.column,
               p.grad_q.seq_stride, p.band.seq_q - row, p.head_dim - part.column);
  }
}

}  // namespace zeta::cuda::ampere
