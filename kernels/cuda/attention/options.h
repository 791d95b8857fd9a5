// What attention on NVIDIA GPUs takes beyond q, k, v, scale and causality; docs/design/attention.md has the
// formula. All pointers are device pointers, strides count elements and may be 0 where a tensor broadcasts.
#pragma once

#include <cstdint>

namespace zeta::cuda {

struct AttentionMask {
  const bool* data = nullptr;  // true where a query may attend
  int64_t batch_stride = 0, head_stride = 0, query_stride = 0, key_stride = 0;
};

struct AttentionBias {
  const void* data = nullptr;
  bool wide = false;  // fp32; else of q's type
  int64_t batch_stride = 0, head_stride = 0, query_stride = 0, key_stride = 0;
};

// Zeros, to which the gradient is added; strides of 0 where the bias broadcasts.
struct AttentionBiasGradient {
  float* data = nullptr;
  int64_t batch_stride = 0, head_stride = 0, query_stride = 0, key_stride = 0;
};

struct AttentionOptions {
  AttentionMask mask;
  AttentionBias bias;
  int64_t window_left = -1, window_right = -1;  // -1: no limit
  float softcap = 0;                            // 0: none
  const float* alibi_slopes = nullptr;          // (batch, num_heads)
  int64_t alibi_batch_stride = 0;
  const float* sinks = nullptr;        // (num_heads)
  uint32_t dropout_threshold = 0;      // of 65536; 0: none
  const int64_t* rng_state = nullptr;  // seed, offset

  bool plain() const {
    return !mask.data && !bias.data && window_left < 0 && window_right < 0 && softcap == 0 && !alibi_slopes &&
           !sinks && dropout_threshold == 0;
  }
};

// Where a sequence lies among those packed one behind the other.
struct PackedSequence {
  int32_t first_query, seq_q;
  int32_t first_key, seq_k;
  int32_t first_block;  // blocks of queries before its own, in the backward's workspace
};

// A block of rows (queries in the forward, keys in the backward) of a packed sequence.
struct PackedTile {
  int32_t block, sequence;
};

// Sequences packed along q's and k's rows, which then are of one batch; both tables on the device.
struct AttentionPacking {
  const PackedSequence* sequences = nullptr;  // none: batches, all as long as the shape says
  const PackedTile* tiles = nullptr;          // of a head, in the order in which they are taken
  int32_t tile_count = 0, sequence_count = 0;
  int32_t query_blocks = 0;   // all sequences' together, of attention_backward_queries each
  int32_t longest_query = 0;  // the longest sequence's queries
};

}  // namespace zeta::cuda
