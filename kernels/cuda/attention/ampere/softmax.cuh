// The online softmax on accumulators of mma.m16n8: a thread holds parts of two rows of each of kTiles tiles
// of 16, quads hold whole rows.
#pragma once

#include "kernels/cuda/attention/softmax.cuh"

namespace zeta::cuda::ampere {

template <int kTiles>
struct LazySoftmax {
  // A row's base lags behind its greatest score by at most so many powers of two, which 16-bit probabilities
  // hold as well as those up to 1, so that outputs are seldom rescaled.
  static constexpr float kLag = 8;

  float base[kTiles][2], sum[kTiles][2];  // base: a score; sum: this thread's part

  __device__ LazySoftmax() {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) base[m][0] = base[m][1] = -INFINITY, sum[m][0] = sum[m][1] = 0;
  }

  // Turns scores into probabilities relative to the base, by which `out` is kept. scale_log2 = scale · log2
  // e.
  template <int kCount, int kOutputs>
  __device__ __forceinline__ void update(float (&s)[kTiles][kCount][4], float (&out)[kTiles][kOutputs][4],
                                         float scale_log2) {
    float greatest[kTiles][2];
    bool grows = false;
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        float most = fmaxf(s[m][0][2 * row], s[m][0][2 * row + 1]);
#pragma unroll
        for (int i = 1; i < kCount; ++i) most = fmaxf(most, fmaxf(s[m][i][2 * row], s[m][i][2 * row + 1]));
        most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
        greatest[m][row] = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
        grows = grows || (greatest[m][row] - base[m][row]) * scale_log2 > kLag;
      }
    if (__any_sync(~0u, grows)) rebase(greatest, out, scale_log2);
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        // A row that has seen nothing yet stays at -inf, and subtracts 0 instead.
        const float shift = base[m][row] == -INFINITY ? 0 : base[m][row] * scale_log2;
#pragma unroll
        for (int i = 0; i < kCount; ++i)
#pragma unroll
          for (int j = 2 * row; j < 2 * row + 2; ++j) {
            s[m][i][j] = exp2_approx(s[m][i][j] * scale_log2 - shift);
            sum[m][row] += s[m][i][j];
          }
      }
  }

  template <int kOutputs>
  __device__ __forceinline__ void rebase(const float (&greatest)[kTiles][2],
                                         float (&out)[kTiles][kOutputs][4], float scale_log2) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const float next = fmaxf(base[m][row], greatest[m][row]);
        const float factor = next == -INFINITY ? 1 : exp2_approx((base[m][row] - next) * scale_log2);
        base[m][row] = next;
        sum[m][row] *= factor;
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) out[m][i][2 * row] *= factor, out[m][i][2 * row + 1] *= factor;
      }
  }

  // Divides the outputs by the whole sums, and returns the natural log-sum-exp of tile m's two rows.
  template <int kOutputs>
  __device__ __forceinline__ float2 finish(float (&out)[kOutputs][4], int m, float scale) const {
    float lse[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float total = sum[m][row];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      const float inverse = total == 0 ? 0 : 1 / total;
      lse[row] = total == 0 ? -INFINITY : base[m][row] * scale + __logf(total);
#pragma unroll
      for (int i = 0; i < kOutputs; ++i) out[i][2 * row] *= inverse, out[i][2 * row + 1] *= inverse;
    }
    return {lse[0], lse[1]};
  }
};

}  // namespace zeta::cuda::ampere
