// The online softmax on accumulators as wgmma lays them out: a thread holds parts of two rows, quads hold
// whole rows.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace zeta::cuda {

__device__ inline float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline uint32_t pack(float low, float high, __nv_bfloat16) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
__device__ inline uint32_t pack(float low, float high, __half) {
  uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

struct OnlineSoftmax {
  float largest[2] = {-INFINITY, -INFINITY};  // of the raw scores
  float sum[2] = {0, 0};                      // this thread's part
  float rescale[2];                           // what earlier sums and outputs shrink by

  // Turns scores into probabilities relative to the greatest score so far. scale_log2 = scale · log2 e.
  template <int kCount>
  __device__ void update(float (&s)[kCount], float scale_log2) {
    float greatest[2] = {largest[0], largest[1]}, base[2], total[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < kCount; i += 4)
#pragma unroll
      for (int row = 0; row < 2; ++row)
        greatest[row] = fmaxf(greatest[row], fmaxf(s[i + 2 * row], s[i + 2 * row + 1]));
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      greatest[row] = fmaxf(greatest[row], __shfl_xor_sync(~0u, greatest[row], 1));
      greatest[row] = fmaxf(greatest[row], __shfl_xor_sync(~0u, greatest[row], 2));
      // A row that has seen nothing yet stays at -inf, and subtracts 0 instead.
      base[row] = greatest[row] == -INFINITY ? 0 : greatest[row] * scale_log2;
      rescale[row] = exp2_approx(largest[row] * scale_log2 - base[row]);
      largest[row] = greatest[row];
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int row = i / 2 % 2;
      s[i] = exp2_approx(s[i] * scale_log2 - base[row]);
      total[row] += s[i];
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) sum[row] = sum[row] * rescale[row] + total[row];
  }

  template <int kCount>
  __device__ void rescale_output(float (&o)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) o[i] *= rescale[i / 2 % 2];
  }

  // Divides the output by the whole sums, and returns the natural log-sum-exp of both rows.
  template <int kCount>
  __device__ float2 finish(float (&o)[kCount], float scale) {
    float lse[2], inverse[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float total = sum[row];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      inverse[row] = total == 0 ? 0 : 1 / total;
      lse[row] = total == 0 ? -INFINITY : largest[row] * scale + __logf(total);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) o[i] *= inverse[i / 2 % 2];
    return {lse[0], lse[1]};
  }
};

}  // namespace zeta::cuda
