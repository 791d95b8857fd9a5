// A call's options as the kernels' parameters.
#pragma once

#include <algorithm>

#include "kernels/cuda/attention/operands.h"
#include "kernels/cuda/attention/score.cuh"

namespace zeta::cuda {

// Positions stay far below 2^31, with a window on either side.
constexpr int64_t kMostPositions = int64_t{1} << 28;

// pack_mask has a thread block for each block of a mask.
inline bool can_pack(const AttentionMask& mask, const AttentionShape& s) {
  return !mask.data ||
         s.batch * s.num_heads * ((s.seq_q + 255) / 128) * ((s.seq_k + 255) / 128) <= INT32_MAX / 2;
}

inline ScoreParams score_params(const AttentionOptions& o, const AttentionShape& s, float scale,
                                bool causal) {
  // A window wider than both sequences is none.
  const auto limit = [&](int64_t size) {
    return static_cast<int>(size < 0 || size >= s.seq_q + s.seq_k ? -1 : size);
  };
  ScoreParams p = {};
  p.scale_log2 = scale * kLog2E, p.softcap = o.softcap;
  p.window_left = limit(o.window_left), p.window_right = causal ? 0 : limit(o.window_right);
  p.bias = o.bias;
  const int64_t piece = o.bias.wide ? 4 : 8;
  p.bias_pieces = o.bias.key_stride == 1 && o.bias.query_stride % piece == 0 &&
                  o.bias.head_stride % piece == 0 && o.bias.batch_stride % piece == 0 &&
                  reinterpret_cast<uintptr_t>(o.bias.data) % 16 == 0;
  p.alibi_slopes = o.alibi_slopes, p.alibi_batch_stride = o.alibi_batch_stride;
  p.sinks = o.sinks;
  p.dropout_threshold = o.dropout_threshold, p.rng_state = o.rng_state;
  return p;
}

}  // namespace zeta::cuda
