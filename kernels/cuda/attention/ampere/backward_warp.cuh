// A warp's work in the backward kernel: scores and their gradients of 32 keys, transposed, keys × queries, so
// that P and dS are left operands of dV and dK as they lie in registers; those of the warps that share its
// keys come through shared memory, as does dS for dQ.
#pragma once

#include "kernels/cuda/attention/ampere/backward_tiles.cuh"
#include "kernels/cuda/attention/rows.cuh"
#include "kernels/cuda/mma.cuh"

namespace zeta::cuda::ampere {

template <class Traits>
struct BackwardWarp {
  using T = typename Traits::T;
  using Shared = typename Traits::Shared;
  static constexpr int kDim = Traits::kDim, kOwn = Traits::kOwn, kQueries = Traits::kQueries;
  using Scores = float[2][kOwn / 8][4];
  using Left = uint32_t[2][kOwn / 16][4];

  const BackwardParams& p;
  Shared& shared;
  const int lane, warp, key_row, share;  // share: which of the warps for the same keys
  const Reader<kDim> keys, values, queries, grads, query_columns, grad_columns, key_columns;
  const Reader<kQueries> grad_scores, probabilities, grad_scores_of_queries;
  const QueryPart<Traits> part;
  float grad_k[2][8][4] = {}, grad_v[2][8][4] = {};

  __device__ __forceinline__ BackwardWarp(const BackwardParams& params, Shared& shared_)
      : p(params),
        shared(shared_),
        lane(static_cast<int>(threadIdx.x) % 32),
        warp(static_cast<int>(threadIdx.x) / 32),
        key_row(warp / Traits::kShare * 32),
        share(warp % Traits::kShare),
        keys(shared_.k, true),
        values(shared_.v, true),
        queries(shared_.q, false),
        grads(shared_.grad_out, false),
        query_columns(shared_.q, true),
        grad_columns(shared_.grad_out, true),
        key_columns(shared_.k, true),
        grad_scores(shared_.grad_scores, true),
        probabilities(shared_.probabilities(), true),
        grad_scores_of_queries(shared_.grad_scores, false),
        part(warp) {}

  // s (32 keys × kOwn queries) = left · rightᵀ
  __device__ __forceinline__ void score(Scores& s, const Reader<kDim>& left, const Reader<kDim>& right,
                                        int query, int stage) const {
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int i = 0; i < kOwn / 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) s[m][i][j] = 0;
#pragma unroll
    for (int c = 0; c < kDim / 16; ++c) {
      uint32_t a[2][4];
      left.read(a[0], key_row, 16 * c);
      left.read(a[1], key_row + 16, 16 * c);
#pragma unroll
      for (int n = 0; n < kOwn / 16; ++n) {
        uint32_t b[4];
        right.read(b, query + 16 * n, 16 * c, stage * Traits::kQueryBytes);
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          mma_m16n8k16<T>(s[m][2 * n], a[m], b[0], b[1]);
          mma_m16n8k16<T>(s[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
    }
  }

  // d (32 keys × its 64 columns) += a (32 keys × 16 queries) · right
  __device__ __forceinline__ void add(float (&d)[2][8][4], const uint32_t (&first)[4],
                                      const uint32_t (&second)[4], const Reader<kDim>& right, int query,
                                      int stage) const {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      uint32_t b[4];
      right.read_transposed(b, query, share * 64 + 16 * n, stage * Traits::kQueryBytes);
      mma_m16n8k16<T>(d[0][2 * n], first, b[0], b[1]);
      mma_m16n8k16<T>(d[0][2 * n + 1], first, b[2], b[3]);
      mma_m16n8k16<T>(d[1][2 * n], second, b[0], b[1]);
      mma_m16n8k16<T>(d[1][2 * n + 1], second, b[2], b[3]);
    }
  }

  __device__ __forceinline__ void exponentiate(Scores& s, const float* lse, float scale_log2) const {
#pragma unroll
    for (int i = 0; i < kOwn / 8; ++i) {
      const float2 base = *reinterpret_cast<const float2*>(lse + 8 * i + lane % 4 * 2);
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          s[m][i][j] = exp2_approx(s[m][i][j] * scale_log2 - (j % 2 ? base.y : base.x));
    }
  }

  // 0 where a query does not see a key.
  __device__ __forceinline__ void exclude(Scores& s, int first_key, int first_query) const {
#pragma unroll
    for (int i = 0; i < kOwn / 8; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const Span seen = p.band.keys_of(first_query + 8 * i + lane % 4 * 2 + j);
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int key = first_key + key_row + 16 * m + 8 * half + lane / 4;
            if (key < seen.begin || key >= seen.end) s[m][i][2 * half + j] = 0;
          }
      }
  }

  // dS = P · (dP − delta), in place of dP.
  __device__ __forceinline__ void differentiate(Scores& dp, const Scores& s, const float* delta) const {
#pragma unroll
    for (int i = 0; i < kOwn / 8; ++i) {
      const float2 base = *reinterpret_cast<const float2*>(delta + 8 * i + lane % 4 * 2);
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int j = 0; j < 4; ++j) dp[m][i][j] = s[m][i][j] * (dp[m][i][j] - (j % 2 ? base.y : base.x));
    }
  }

  __device__ __forceinline__ void round(const Scores& s, Left& left) const {
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int c = 0; c < kOwn / 16; ++c)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          left[m][c][j] = pack(s[m][2 * c + j / 2][j % 2 * 2], s[m][2 * c + j / 2][j % 2 * 2 + 1], T());
  }

  // Its own part, as rows of keys of kQueries queries each.
  __device__ __forceinline__ void store(char* tile, const Left& left, int query) const {
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int c = 0; c < kOwn / 16; ++c)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int row = key_row + 16 * m + j % 2 * 8 + lane / 4;
          *reinterpret_cast<uint32_t*>(tile + Tile<kQueries>::offset(row, query / 8 + 2 * c + j / 2) +
                                       lane % 4 * 4) = left[m][c][j];
        }
  }

  // Waits for the warps that have the same keys.
  __device__ __forceinline__ void meet() const {
    asm volatile("bar.sync %0, %1;" ::"r"(1 + warp / Traits::kShare), "n"(32 * Traits::kShare) : "memory");
  }

  // dQ = dS · K: this warp's part, added to the step's sums.
  __device__ __forceinline__ void add_grad_q(float* step_sums) const {
    typename QueryPart<Traits>::Sums sums = {};
#pragma unroll
    for (int c = 0; c < Traits::kKeys / 16; ++c) {
      uint32_t a[2][4];
      grad_scores_of_queries.read_transposed(a[0], 16 * c, part.row);
      grad_scores_of_queries.read_transposed(a[1], 16 * c, part.row + 16);
#pragma unroll
      for (int n = 0; n < Traits::kPartColumns / 16; ++n) {
        uint32_t b[4];
        key_columns.read_transposed(b, 16 * c, part.column + 16 * n);
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          mma_m16n8k16<T>(sums[m][2 * n], a[m], b[0], b[1]);
          mma_m16n8k16<T>(sums[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
    }
    part.add(step_sums + part.offset, sums);
  }

  // P, dS and what they add to dK and dV, of a step whose tiles have come.
  __device__ __forceinline__ void work(int stage, int first_key, int first_query, bool partly,
                                       float scale_log2) {
#pragma unroll
    for (int turn = 0; turn < Traits::kTurns; ++turn) {
      const int query = (turn * Traits::kShare + share) * kOwn;
      Left p_left, ds_left;
      {
        Scores s, dp;
        score(s, keys, queries, query, stage);
        score(dp, values, grads, query, stage);
        exponentiate(s, shared.statistics[stage][0] + query, scale_log2);
        if (partly) exclude(s, first_key, first_query + query);
        round(s, p_left);
        if constexpr (Traits::kShare > 1) store(shared.probabilities(), p_left, query);
        differentiate(dp, s, shared.statistics[stage][1] + query);
        round(dp, ds_left);
        store(shared.grad_scores, ds_left, query);
      }
#pragma unroll
      for (int c = 0; c < kOwn / 16; ++c) {
        add(grad_v, p_left[0][c], p_left[1][c], grad_columns, query + 16 * c, stage);
        add(grad_k, ds_left[0][c], ds_left[1][c], query_columns, query + 16 * c, stage);
      }
    }
    if constexpr (Traits::kShare > 1) {
      static_assert(Traits::kTurns == 1);
      meet();
#pragma unroll
      for (int other = 1; other < Traits::kShare; ++other) {
        const int query = (share + other) % Traits::kShare * kOwn;
#pragma unroll
        for (int c = 0; c < kOwn / 16; ++c) {
          uint32_t a[2][4];
          probabilities.read(a[0], key_row, query + 16 * c);
          probabilities.read(a[1], key_row + 16, query + 16 * c);
          add(grad_v, a[0], a[1], grad_columns, query + 16 * c, stage);
          grad_scores.read(a[0], key_row, query + 16 * c);
          grad_scores.read(a[1], key_row + 16, query + 16 * c);
          add(grad_k, a[0], a[1], query_columns, query + 16 * c, stage);
        }
      }
    }
  }

  __device__ __forceinline__ void write(const AttentionTensor& t, float (&d)[2][8][4], float factor,
                                        int first_key, int kv_head, int batch, int dim) const {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      auto& flat = reinterpret_cast<float(&)[32]>(d[m]);
#pragma unroll
      for (float& x : flat) x *= factor;
      const int key = first_key + key_row + 16 * m + lane / 4;
      write_rows(flat,
                 static_cast<T*>(t.data) + batch * t.batch_stride + kv_head * t.head_stride +
                     key * t.seq_stride + share * 64,
                 t.seq_stride, p.band.seq_k - key, dim - share * 64);
    }
  }
};

}  // namespace zeta::cuda::ampere
