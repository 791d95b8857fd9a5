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

// Where a row's greatest probability, before division by the sum, lies: 2^kTop to 2^(kTop + kLag).
struct HalfRange {
  static constexpr float kTop = 0, kLag = 8;
};

// Probabilities are relative to a base that follows the greatest score, but only once it lags by kLag: sums
// and outputs then rarely need rescaling, and lanes rarely need to agree on a maximum. fp32 has room to
// spare.
template <class Range>
struct OnlineSoftmaxWithin {
  float base[2] = {-INFINITY, -INFINITY};  // in powers of two; the same in a quad
  float sum[2] = {0, 0};                   // this thread's part
  float rescale[2] = {1, 1};               // what earlier sums and outputs shrink by, if the base has moved

  // Turns scores into probabilities. scale_log2 = scale · log2 e. True, in all lanes of the warp, if the
  // base has moved.
  template <int kCount>
  __device__ bool update(float (&s)[kCount], float scale_log2) {
    float greatest[2][2], total[2][2] = {};
#pragma unroll
    for (int i = 0; i < kCount; i += 4)
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        float& chain = greatest[row][i / 4 % 2];
        const float pair = fmaxf(s[i + 2 * row], s[i + 2 * row + 1]);
        chain = i < 8 ? pair : fmaxf(chain, pair);
      }
    float raised[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) raised[row] = fmaxf(greatest[row][0], greatest[row][1]) * scale_log2;
    const bool moves =
        __any_sync(~0u, raised[0] > base[0] + Range::kLag || raised[1] > base[1] + Range::kLag);
    if (moves) move(raised);
    float offset[2];
#pragma unroll
    for (int row = 0; row < 2; ++row)  // a row that has seen nothing yet subtracts 0
      offset[row] = base[row] == -INFINITY ? 0 : base[row] - Range::kTop;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int row = i / 2 % 2;
      s[i] = exp2_approx(s[i] * scale_log2 - offset[row]);
      total[row][i % 2] += s[i];
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) sum[row] += total[row][0] + total[row][1];
    return moves;
  }

  // The bases to the greatest scores, which the lanes of a quad know in part.
  __device__ __forceinline__ void move(const float (&raised)[2]) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float highest = fmaxf(base[row], raised[row]);
      highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
      rescale[row] = base[row] == -INFINITY ? 0 : exp2_approx(base[row] - highest);
      base[row] = highest;
      sum[row] *= rescale[row];
    }
  }

  template <int kCount>
  __device__ void rescale_output(float (&o)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) o[i] *= rescale[i / 2 % 2];
  }

  // Divides the output by the whole sums, and returns the natural log-sum-exp of both rows.
  template <int kCount>
  __device__ float2 finish(float (&o)[kCount]) {
    float lse[2], inverse[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float total = sum[row];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      inverse[row] = total == 0 ? 0 : 1 / total;
      lse[row] =
          total == 0 ? -INFINITY : (base[row] - Range::kTop) * 0.693147180559945309417f + __logf(total);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) o[i] *= inverse[i / 2 % 2];
    return {lse[0], lse[1]};
  }
};
using OnlineSoftmax = OnlineSoftmaxWithin<HalfRange>;

}  // namespace zeta::cuda
