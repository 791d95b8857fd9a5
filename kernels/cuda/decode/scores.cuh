// From products to the scores that are compared, in powers of two, and the running maximum and sum.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/softmax.cuh"
#include "kernels/cuda/decode/plan.cuh"

namespace zeta::cuda {

constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

// tanh to about 1e-7, where tanh.approx has 5e-4.
__device__ inline float tanh_by_exp(float x) { return 1 - __fdividef(2, 1 + exp2_approx(2 * kLog2e * x)); }

// A row of a tile, as one lane sees it.
struct DecodeRow {
  DecodeVisible visible = {0, INT_MAX};
  int diagonal = 0;  // the key at its own position
  float slope = 0;   // times log2 e
};

struct DecodeScale {
  float scale;    // of products, to powers of two; to units of softcap where there is one
  float softcap;  // times log2 e
  bool alibi;

  __device__ DecodeScale(float scale_, float softcap_, bool alibi_)
      : scale(softcap_ > 0 ? scale_ / softcap_ : scale_ * kLog2e),
        softcap(softcap_ * kLog2e),
        alibi(alibi_) {}

  // s[j][…]: row g and g + 8 against keys key + 8 j + 2 t and the next.
  __device__ void apply(float (&s)[2][4], int key, const DecodeRow (&rows)[2]) const {
    const int first = key + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 8; ++i) s[i / 4][i % 4] *= scale;
    if (softcap > 0) {
#pragma unroll
      for (int i = 0; i < 8; ++i) s[i / 4][i % 4] = softcap * tanh_by_exp(s[i / 4][i % 4]);
    }
    if (alibi) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const DecodeRow& row = rows[i % 4 / 2];
        s[i / 4][i % 4] -= row.slope * fabsf(static_cast<float>(first + i / 4 * 8 + i % 2 - row.diagonal));
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const DecodeVisible& seen = rows[r].visible;
      if (key >= seen.begin && key + kTileKeys <= seen.end) continue;
#pragma unroll
      for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int at = first + 8 * j + e;
          if (at < seen.begin || at >= seen.end) s[j][2 * r + e] = -INFINITY;
        }
    }
  }
};

// The online softmax of two rows.
struct DecodeSoftmax {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};  // this lane's part

  // Scores become probabilities; returns whether anything summed before must be multiplied by rescale.
  __device__ bool update(float (&s)[2][4], float (&rescale)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = fmaxf(fmaxf(s[0][2 * r], s[0][2 * r + 1]), fmaxf(s[1][2 * r], s[1][2 * r + 1]));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
      most = fmaxf(fmaxf(most, __shfl_xor_sync(~0u, most, 2)), largest[r]);
      const float base = most == -INFINITY ? 0 : most;
      rescale[r] = exp2_approx(largest[r] - base);
      largest[r] = most;
      float total = 0;
#pragma unroll
      for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = s[j][2 * r + e];
          x = exp2_approx(x - base);
          total += x;
        }
      sum[r] = sum[r] * rescale[r] + total;
    }
    return __any_sync(~0u, rescale[0] != 1 || rescale[1] != 1);
  }

  __device__ void finish() {
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int d = 1; d < 4; d *= 2) sum[r] += __shfl_xor_sync(~0u, sum[r], d);
  }
};

}  // namespace zeta::cuda
