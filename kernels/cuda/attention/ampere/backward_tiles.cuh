// What the backward kernel works on: its parameters, the tiles that lie in shared memory, and where the sums
// of dQ lie in the workspace.
#pragma once

#include "kernels/cuda/attention/ampere/span.cuh"
#include "kernels/cuda/attention/ampere/tile.cuh"

namespace zeta::cuda::ampere {

struct BackwardParams {
  AttentionTensor q, k, v, out, grad_out, grad_q, grad_k, grad_v;
  Band band;
  int num_heads, group;  // group: query heads a kv head
  int head_dim, value_dim;
  int query_blocks;
  float scale;
  const float* lse;
  float* statistics;  // (batch, num_heads, query_blocks, 2, kQueries): lse · log2 e, +inf where none; delta
  float* sums;        // of dQ: (batch, num_heads, query_blocks, kQueries · kDim), as QueryPart says
};

// P on its way between warps that have the same keys; nothing where there are none.
template <int kBytes>
struct SharedProbabilities {
  alignas(128) char p[kBytes];
  __device__ char* probabilities() { return p; }
};
template <>
struct SharedProbabilities<0> {
  __device__ char* probabilities() { return nullptr; }
};

// A warp owns 32 keys and 64 columns of dK and dV: there are kDim / 64 warps for the same keys, which share
// the work on their scores, kOwn queries each, kTurns times a step. Queries and keys of a step: kQueries,
// kKeys.
template <int kDim_, int kKeyWarps_, int kTurns_, int kOwn_, int kStages_, int kBlocks_, typename T_>
struct BackwardTraits {
  using T = T_;
  static constexpr int kDim = kDim_, kKeyWarps = kKeyWarps_, kTurns = kTurns_, kOwn = kOwn_,
                       kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kShare = kDim / 64, kWarps = kKeyWarps * kShare, kThreads = 32 * kWarps;
  static constexpr int kKeys = 32 * kKeyWarps, kQueries = kTurns * kShare * kOwn;
  static_assert(kQueries == 64, "a row of dS has 8 pieces; launch code counts on it too");
  static constexpr int kPartColumns = kDim / (kWarps / 2);  // of a warp's 32 rows of dQ
  static constexpr int kKeyBytes = kKeys * kDim * 2, kQueryBytes = kQueries * kDim * 2,
                       kScoreBytes = kKeys * kQueries * 2;

  struct Shared : SharedProbabilities<(kShare > 1 ? kScoreBytes : 0)> {
    alignas(128) char k[kKeyBytes];
    alignas(128) char v[kKeyBytes];
    alignas(128) char q[kStages][kQueryBytes];
    alignas(128) char grad_out[kStages][kQueryBytes];
    alignas(128) char grad_scores[kScoreBytes];
    alignas(16) float statistics[kStages][2][kQueries];
  };
};

// A warp's part of dQ of a step: 32 queries × kPartColumns, two warps one below the other.
template <class Traits>
struct QueryPart {
  using Sums = float[2][Traits::kPartColumns / 8][4];
  int row, column;
  int64_t offset;

  __device__ __forceinline__ explicit QueryPart(int warp)
      : row(warp % 2 * 32),
        column(warp / 2 * Traits::kPartColumns),
        offset(warp * 32 * Traits::kPartColumns) {}

  // Adds it to, or reads it from, the step's sums, in the order in which lanes hold it: 16 bytes a lane where
  // they are added at once, else 4.
  __device__ static __forceinline__ void add(float* to, const Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < Traits::kPartColumns / 8; ++n) {
        float* at = to + (m * Traits::kPartColumns / 8 + n) * 128;
        const float(&d)[4] = sums[m][n];
#if __CUDA_ARCH__ >= 900
        asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(at + 4 * lane), "f"(d[0]),
                     "f"(d[1]), "f"(d[2]), "f"(d[3])
                     : "memory");
#else
#pragma unroll
        for (int j = 0; j < 4; ++j)
          asm volatile("red.global.add.f32 [%0], %1;" ::"l"(at + 32 * j + lane), "f"(d[j]) : "memory");
#endif
      }
  }
  __device__ static __forceinline__ void read(const float* from, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < Traits::kPartColumns / 8; ++n)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const float* at = from + (m * Traits::kPartColumns / 8 + n) * 128;
#if __CUDA_ARCH__ >= 900
          sums[m][n][j] = at[4 * lane + j];
#else
          sums[m][n][j] = at[32 * j + lane];
#endif
        }
  }
};

}  // namespace zeta::cuda::ampere
