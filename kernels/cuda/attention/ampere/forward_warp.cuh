// What the forward kernel works on, and a warp's part of it: kTiles tiles of 16 queries against a tile of
// keys.
#pragma once

#include "kernels/cuda/attention/ampere/softmax.cuh"
#include "kernels/cuda/attention/ampere/span.cuh"
#include "kernels/cuda/attention/ampere/tile.cuh"
#include "kernels/cuda/attention/rows.cuh"
#include "kernels/cuda/attention/schedule.cuh"
#include "kernels/cuda/mma.cuh"

namespace zeta::cuda::ampere {

struct ForwardParams {
  AttentionTensor q, k, v, out;
  AttentionSchedule schedule;
  Band band;
  int num_heads, group;  // group: query heads a kv head
  int head_dim, value_dim;
  float scale;
  float* lse;
};

// kTiles: of 16 queries, a warp's. kBlocks: of a multiprocessor, which bounds registers. kHoldQueries: in
// registers instead of shared memory.
template <int kDim_, int kTiles_, int kWarps_, int kKeys_, int kBlocks_, bool kHoldQueries_, typename T_>
struct ForwardTraits {
  using T = T_;
  static constexpr int kDim = kDim_, kTiles = kTiles_, kWarps = kWarps_, kKeys = kKeys_, kBlocks = kBlocks_;
  static constexpr bool kHoldQueries = kHoldQueries_;
  static constexpr int kThreads = 32 * kWarps, kRows = 16 * kTiles * kWarps;
  static constexpr int kKeyBytes = kKeys * kDim * 2;
  struct Shared {
    alignas(128) char q[kRows * kDim * 2];
    alignas(128) char k[2][kKeyBytes];
    alignas(128) char v[2][kKeyBytes];
  };
};

template <class Traits>
struct ForwardWarp {
  using T = typename Traits::T;
  static constexpr int kDim = Traits::kDim, kTiles = Traits::kTiles, kKeys = Traits::kKeys;
  static constexpr int kHeld = Traits::kHoldQueries ? kDim / 16 : 1;
  using Scores = float[kTiles][kKeys / 8][4];

  const ForwardParams& p;
  const Reader<kDim> queries, keys, values;
  uint32_t held[kHeld][kTiles][4];
  float out[kTiles][kDim / 8][4];
  LazySoftmax<kTiles> softmax;

  __device__ __forceinline__ ForwardWarp(const ForwardParams& params, typename Traits::Shared& shared,
                                         int warp)
      : p(params),
        queries(shared.q + warp * 16 * kTiles * Tile<kDim>::kRowBytes, true),
        keys(shared.k, false),
        values(shared.v, true) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int i = 0; i < kDim / 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) out[m][i][j] = 0;
  }

  __device__ __forceinline__ void hold_queries() {
    if constexpr (Traits::kHoldQueries) {
#pragma unroll
      for (int c = 0; c < kDim / 16; ++c)
#pragma unroll
        for (int m = 0; m < kTiles; ++m) queries.read(held[c][m], 16 * m, 16 * c);
    }
  }

  __device__ __forceinline__ void score(Scores& s, int stage) const {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int i = 0; i < kKeys / 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) s[m][i][j] = 0;
#pragma unroll
    for (int c = 0; c < kDim / 16; ++c) {
      uint32_t left[kTiles][4];
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        if constexpr (Traits::kHoldQueries) {
#pragma unroll
          for (int j = 0; j < 4; ++j) left[m][j] = held[c][m][j];
        } else {
          queries.read(left[m], 16 * m, 16 * c);
        }
      }
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t k[4];
        keys.read(k, 16 * n, 16 * c, stage * Traits::kKeyBytes);
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
          mma_m16n8k16<T>(s[m][2 * n], left[m], k[0], k[1]);
          mma_m16n8k16<T>(s[m][2 * n + 1], left[m], k[2], k[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void exclude(Scores& s, int first_row, int first_key) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Span seen = p.band.keys_of(first_row + 16 * m + 8 * half + lane / 4);
        const int begin = seen.begin - first_key - lane % 4 * 2, end = seen.end - first_key - lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < kKeys / 8; ++i)
#pragma unroll
          for (int j = 0; j < 2; ++j)
            if (8 * i + j < begin || 8 * i + j >= end) s[m][i][2 * half + j] = -INFINITY;
      }
  }

  __device__ __forceinline__ void add_values(const Scores& s, int stage) {
#pragma unroll
    for (int c = 0; c < kKeys / 16; ++c) {
      uint32_t left[kTiles][4];
#pragma unroll
      for (int m = 0; m < kTiles; ++m)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          left[m][j] = pack(s[m][2 * c + j / 2][j % 2 * 2], s[m][2 * c + j / 2][j % 2 * 2 + 1], T());
#pragma unroll
      for (int n = 0; n < kDim / 16; ++n) {
        uint32_t v[4];
        values.read_transposed(v, 16 * c, 16 * n, stage * Traits::kKeyBytes);
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
          mma_m16n8k16<T>(out[m][2 * n], left[m], v[0], v[1]);
          mma_m16n8k16<T>(out[m][2 * n + 1], left[m], v[2], v[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void write(const AttentionTile& tile, int first_row) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      const int row = first_row + 16 * m + lane / 4;
      const float2 lse = softmax.finish(out[m], m, p.scale);
      float* to_lse = p.lse + (int64_t{tile.batch} * p.num_heads + tile.head) * p.band.seq_q + row;
      if (lane % 4 == 0 && row < p.band.seq_q) to_lse[0] = lse.x;
      if (lane % 4 == 0 && row + 8 < p.band.seq_q) to_lse[8] = lse.y;
      write_rows(reinterpret_cast<float(&)[kDim / 2]>(out[m]),
                 static_cast<T*>(p.out.data) + tile.batch * p.out.batch_stride +
                     tile.head * p.out.head_stride + row * p.out.seq_stride,
                 p.out.seq_stride, p.band.seq_q - row, p.value_dim);
    }
  }
};

}  // namespace zeta::cuda::ampere
