// What options do to a step of the backward between its products, on transposed scores: rows are keys.
#pragma once

#include "kernels/cuda/attention/mask_view.cuh"
#include "kernels/cuda/attention/philox.cuh"
#include "kernels/cuda/attention/score.cuh"

namespace zeta::cuda {

// What the loading warp says of a step, in shared memory, where it takes no registers.
struct alignas(16) StepInfo {
  int step;  // -1: there are no more
  int head;
  bool partly;  // the window, or an end of the sequence, excludes some pair of the tile
  bool masked;  // the mask excludes some
  int before;   // blocks of keys that see the step's queries and come first
};

// Where a thread's elements lie.
struct StepPlace {
  const PackedSequence& sequence;
  const StepInfo& info;
  int batch;
  int warp_key;     // the first of its warp's 16 keys
  int first_query;  // of the columns
};

// Adds dx, summed over what the bias broadcasts.
template <int kCount>
__device__ __forceinline__ void add_bias_gradient(const AttentionBiasGradient& g, const StepPlace& at,
                                                  const float (&dx)[kCount]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int key = at.warp_key + lane / 4, query = at.first_query + lane % 4 * 2;
  const int keys = at.sequence.seq_k, queries = at.sequence.seq_q;
  const int64_t query_stride = opaque(g.query_stride), key_stride = opaque(g.key_stride);
  float* to = g.data + at.batch * g.batch_stride + at.info.head * g.head_stride;
  if (query_stride == 0) {
    float sum[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < kCount; ++i) sum[i / 2 % 2] += dx[i];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      sum[half] += __shfl_xor_sync(~0u, sum[half], 1);
      sum[half] += __shfl_xor_sync(~0u, sum[half], 2);
      if (key_stride != 0 && lane % 4 == 0 && key + 8 * half < keys)
        atomicAdd(to + (key + 8 * half) * key_stride, sum[half]);
    }
    if (key_stride != 0) return;
    float all = sum[0] + sum[1];
#pragma unroll
    for (int distance = 4; distance < 32; distance *= 2) all += __shfl_xor_sync(~0u, all, distance);
    if (lane == 0) atomicAdd(to, all);
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; i += 4)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int its_query = query + 2 * i + j;
      float* its = to + its_query * query_stride;
      if (key_stride == 0) {
        float sum = dx[i + j] + dx[i + j + 2];
#pragma unroll
        for (int distance = 4; distance < 32; distance *= 2) sum += __shfl_xor_sync(~0u, sum, distance);
        if (lane < 4 && its_query < queries) atomicAdd(its, sum);
      } else if (its_query < queries) {
        if (key < keys && dx[i + j] != 0) atomicAdd(its + key * key_stride, dx[i + j]);
        if (key + 8 < keys && dx[i + j + 2] != 0) atomicAdd(its + (key + 8) * key_stride, dx[i + j + 2]);
      }
    }
}

template <typename T, int kColumns>
struct StepEditor {
  static constexpr int kCount = kColumns / 2;
  const ScoreParams& p;
  uint32_t slopes[kCount / 2];  // softcap's derivative, rounded as the gradients of scores will be
  KeyRowsKept<kColumns> kept;

  __device__ __forceinline__ explicit StepEditor(const ScoreParams& params) : p(params) {}

  __device__ __forceinline__ float factor() const {
    return 65536.0f / (65536.0f - static_cast<float>(p.dropout_threshold));
  }

  // Before the products, since it takes long.
  __device__ __forceinline__ void draw(const StepPlace& at, int num_heads) {
    if (p.dropout_threshold == 0) return;
    kept.draw(Dropout(p.dropout_threshold, p.rng_state, at.batch * num_heads + at.info.head), at.warp_key,
              at.first_query);
  }

  // Turns products into probabilities; `left` gets what dropout leaves of them, rounded. lse: the columns'.
  // add_bias: adds a bias from shared memory.
  template <class AddBias>
  __device__ __forceinline__ void exponentiate(const StepPlace& at, float (&x)[kCount],
                                               const AddBias& add_bias, const float* lse,
                                               uint32_t (&left)[kColumns / 16][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, row = at.warp_key + lane / 4;
    scale_scores(p, x);
    if (p.softcap > 0) {
      const float inverse = 1 / (p.softcap * kLog2E);
#pragma unroll
      for (int i = 0; i < kCount; i += 2) {
        const float a = x[i] * inverse, b = x[i + 1] * inverse;
        slopes[i / 2] = pack(1 - a * a, 1 - b * b, __half());
      }
    }
    add_bias(x);
    place_scores<T, true>(p, at.sequence, x, at.batch, at.info.head, row, at.first_query + lane % 4 * 2,
                          at.info.partly);
    if (at.info.masked) MaskView(p.mask, at.batch, at.info.head).exclude(x, row, at.first_query);
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      const float2 base = *reinterpret_cast<const float2*>(lse + 2 * i + lane % 4 * 2);
#pragma unroll
      for (int j = 0; j < 4; ++j) x[i + j] = exp2_approx(x[i + j] - (j % 2 ? base.y : base.x));
    }
    if (p.dropout_threshold > 0) {
      const float scale = factor();
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const uint32_t bits = kept.piece(i / 4);
        float dropped[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) dropped[j] = bits >> j & 1 ? x[i + j] * scale : 0;
        left[i / 8][i / 2 % 4] = pack(dropped[0], dropped[1], T());
        left[i / 8][i / 2 % 4 + 1] = pack(dropped[2], dropped[3], T());
      }
    } else {
#pragma unroll
      for (int i = 0; i < kCount; i += 2) left[i / 8][i / 2 % 4] = pack(x[i], x[i + 1], T());
    }
  }

  // dS from probabilities and dP, rounded. delta: the columns'.
  __device__ __forceinline__ void differentiate(const StepPlace& at, const AttentionBiasGradient& grad_bias,
                                                const float (&probabilities)[kCount], float (&dx)[kCount],
                                                const float* delta, uint32_t (&left)[kColumns / 16][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (p.dropout_threshold > 0) {
      const float scale = factor();
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const uint32_t bits = kept.piece(i / 4);
#pragma unroll
        for (int j = 0; j < 4; ++j) dx[i + j] = bits >> j & 1 ? dx[i + j] * scale : 0;
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      const float2 base = *reinterpret_cast<const float2*>(delta + 2 * i + lane % 4 * 2);
#pragma unroll
      for (int j = 0; j < 4; ++j) dx[i + j] = probabilities[i + j] * (dx[i + j] - (j % 2 ? base.y : base.x));
    }
    if (grad_bias.data) add_bias_gradient(grad_bias, at, dx);
    if (p.softcap > 0) {
#pragma unroll
      for (int i = 0; i < kCount; i += 2) {
        const float2 slope = __half22float2(reinterpret_cast<const __half2&>(slopes[i / 2]));
        dx[i] *= slope.x, dx[i + 1] *= slope.y;
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; i += 2) left[i / 8][i / 2 % 4] = pack(dx[i], dx[i + 1], T());
  }
};

}  // namespace zeta::cuda
