// From products to scores: scale, softcap, bias, ALiBi, window and mask on accumulators as wgmma lays them
// out (a thread has two rows, eight apart, and of every eight columns two). Scores are in base 2: exp2 of
// them. Rows are queries in the forward and keys in the backward.
#pragma once

#include "kernels/cuda/attention/bias.cuh"
#include "kernels/cuda/attention/mask.h"

namespace zeta::cuda {

struct ScoreParams {
  float scale_log2, softcap;
  int window_left, window_right;  // -1: no limit
  AttentionBias bias;
  bool bias_pieces;  // a query's biases lie together, and start at multiples of 16 bytes
  const float* alibi_slopes;
  int64_t alibi_batch_stride;
  const float* sinks;
  uint32_t dropout_threshold;
  const int64_t* rng_state;
  MaskBits mask;
};

struct Span {
  int begin, end;
};

// The keys that a query sees, and the queries that see a key, as far as the window goes.
__device__ __forceinline__ Span seen_keys(const ScoreParams& p, const PackedSequence& s, int query) {
  const int position = query + s.seq_k - s.seq_q;
  return {p.window_left < 0 ? 0 : max(0, position - p.window_left),
          p.window_right < 0 ? s.seq_k : min(s.seq_k, position + p.window_right + 1)};
}
__device__ __forceinline__ Span seeing_queries(const ScoreParams& p, const PackedSequence& s, int key) {
  if (key >= s.seq_k) return {0, 0};
  const int position = key - (s.seq_k - s.seq_q);
  return {p.window_right < 0 ? 0 : max(0, position - p.window_right),
          p.window_left < 0 ? s.seq_q : min(s.seq_q, position + p.window_left + 1)};
}

// x = cap · tanh(x / cap) in base 2; tanh = 1 - 2 / (1 + e^2y), which is right to 2^-21 of 1.
__device__ __forceinline__ float tanh_of(float doubled_log2) {  // 2 log2 e · y
  return 1 - __fdividef(2.0f, 1 + exp2_approx(doubled_log2));
}

template <int kCount>
__device__ __forceinline__ void scale_scores(const ScoreParams& p, float (&x)[kCount]) {
  if (p.softcap > 0) {
    const float in = 2 * p.scale_log2 / p.softcap, out = p.softcap * kLog2E;
#pragma unroll
    for (float& one : x) one = tanh_of(one * in) * out;
  } else {
#pragma unroll
    for (float& one : x) one *= p.scale_log2;
  }
}

// Bias, ALiBi and window on a thread's scaled scores from (row, column) on. partly: the window, or an end of
// a sequence, excludes some pair of the tile.
template <typename T, bool kKeyRows, int kCount>
__device__ __forceinline__ void place_scores(const ScoreParams& p, const PackedSequence& s,
                                             float (&x)[kCount], int batch, int head, int row, int column,
                                             bool partly) {
  if (p.bias.data) {
    const AttentionBias& b = p.bias;
    const int64_t row_stride = opaque(kKeyRows ? b.key_stride : b.query_stride),
                  column_stride = opaque(kKeyRows ? b.query_stride : b.key_stride),
                  at = batch * b.batch_stride + head * b.head_stride + row * row_stride +
                       column * column_stride;
    const int rows = (kKeyRows ? s.seq_k : s.seq_q) - row, columns = (kKeyRows ? s.seq_q : s.seq_k) - column;
    const auto add = [&](auto* data) {
      const int lane_column = static_cast<int>(threadIdx.x) % 4 * 2;
      if (!kKeyRows && p.bias_pieces && columns + lane_column >= 2 * kCount)
        add_bias_pieces(x, data + at - lane_column, row_stride, rows);
      else
        add_bias(x, data + at, row_stride, column_stride, rows, columns);
    };
    if (b.wide)
      add(static_cast<const float*>(b.data));
    else
      add(static_cast<const T*>(b.data));
  }
  if (p.alibi_slopes) {
    const float slope = p.alibi_slopes[batch * p.alibi_batch_stride + head] * kLog2E;
    const int first = column - row + (kKeyRows ? s.seq_k - s.seq_q : s.seq_q - s.seq_k);
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      x[i] -= slope * fabsf(static_cast<float>(first + i / 4 * 8 + i % 2 - i / 2 % 2 * 8));
  }
  if (partly) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Span seen = kKeyRows ? seeing_queries(p, s, row + 8 * half) : seen_keys(p, s, row + 8 * half);
      const int begin = seen.begin - column, end = seen.end - column;
#pragma unroll
      for (int i = 0; i < kCount; i += 4)
#pragma unroll
        for (int j = 0; j < 2; ++j)
          if (2 * i + j < begin || 2 * i + j >= end) x[i + 2 * half + j] = -INFINITY;
    }
  }
}

}  // namespace zeta::cuda
