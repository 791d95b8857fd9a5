// Scaled dot-product attention on CPU: out = softmax(scale · q kᵀ, where allowed) v, and its gradients.
// docs/design/attention.md has the formula with all options.
//
// Blocked with an online softmax, so that no seq_q × seq_k matrix ever exists: Dao et al., "FlashAttention:
// Fast and Memory-Efficient Exact Attention with IO-Awareness" (2022), and its successor (2023). Arithmetic
// is fp32, or float64 for float64 tensors. Results depend neither on the range given nor on who runs it.
//
// The caller owns the threads: each function works on items [begin, end) of a count that the shape gives, and
// any partition of the items may run concurrently. No function keeps state or fails, but for std::bad_alloc
// on scratch memory, which the sequence lengths do not enter.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace zeta::cpu {

enum class ElementType { kFloat32, kBFloat16, kFloat16, kFloat64 };

struct AttentionShape {
  int64_t batch;
  int64_t seq_q;
  int64_t seq_k;
  int64_t num_heads;     // a multiple of num_kv_heads
  int64_t num_kv_heads;  // query head h reads kv head h / (num_heads / num_kv_heads)
  int64_t head_dim;      // of q and k, 1..256
  int64_t value_dim;     // of v and out, 1..256
};

// A (batch, seq, heads, dim) tensor: strides in elements, the last dimension contiguous.
struct AttentionTensor {
  void* data = nullptr;
  int64_t batch_stride = 0;
  int64_t seq_stride = 0;
  int64_t head_stride = 0;
};

// A (batch, heads, seq_q, seq_k) mask of bytes, 1 = attend; a stride of 0 broadcasts. No data: no mask.
struct AttentionMask {
  const bool* data = nullptr;
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t query_stride = 0;
  int64_t key_stride = 0;
};

// What is added to the scores, (batch, heads, seq_q, seq_k); a stride of 0 broadcasts. No data: no bias.
struct AttentionBias {
  const void* data = nullptr;
  bool wide = false;  // fp32 whatever the inputs' type
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t query_stride = 0;
  int64_t key_stride = 0;
};

// slope · |i + seq_k - seq_q - j| is subtracted from the scores. No data: none.
struct AttentionSlopes {
  const float* data = nullptr;
  int64_t batch_stride = 0;  // heads are contiguous
};

// Which probabilities are dropped; a function of the position alone. threshold 0: none.
struct AttentionDropout {
  uint32_t threshold = 0;  // of 65536: the chance to be dropped
  uint64_t seed = 0;
  uint64_t offset = 0;
  int64_t first_head = 0;  // batch · num_heads of batch 0 here
};

// Keys and values in pages: key j is row j % page_size of page table[j / page_size] of k and v, whose batches
// are the pages. For a shape of one batch, forward only. No table: none.
struct AttentionPages {
  const int32_t* table = nullptr;
  int64_t page_size = 0;
};

struct AttentionInputs {
  ElementType type;  // of every AttentionTensor
  AttentionShape shape;
  double softmax_scale;
  bool causal;  // query i sees keys up to i + seq_k - seq_q
  AttentionTensor q;
  AttentionTensor k;
  AttentionTensor v;
  AttentionMask mask;
  int64_t window_left = -1;   // query i sees keys from i + seq_k - seq_q - window_left; -1: from the first
  int64_t window_right = -1;  // … to i + seq_k - seq_q + window_right; -1: to the last
  double softcap = 0;         // scores become softcap · tanh(score / softcap); 0: they do not
  AttentionBias bias = {};
  AttentionSlopes alibi = {};
  const void* sinks =
      nullptr;  // (num_heads), fp32 or float64: a score beside each row's keys, without a value
  AttentionDropout dropout = {};
  AttentionPages pages = {};
};

// A number for each row, (batch, heads, seq_q) with contiguous positions, fp32 or float64.
struct AttentionRows {
  void* data = nullptr;
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
};

struct AttentionForward {
  AttentionInputs inputs;
  AttentionTensor out;  // 0 in rows that may attend nothing
  AttentionRows lse;    // log Σ exp(scores), the sink among them; -inf in such rows
};

int64_t attention_forward_items(const AttentionShape& shape);
void attention_forward(const AttentionForward& args, int64_t begin, int64_t end, Isa level = isa());

struct AttentionBackward {
  AttentionInputs inputs;
  AttentionTensor out;
  AttentionTensor grad_out;
  AttentionRows lse;
  AttentionTensor grad_q;
  AttentionTensor grad_k;
  AttentionTensor grad_v;
  // attention_backward_partials(shape) zeros, fp32 or float64: where the splits of the queries gather grad_k,
  // grad_v.
  void* partials;
};

// Two steps: all items of attention_backward (writes grad_q, adds to partials), then all of
// attention_backward_reduce (writes grad_k, grad_v).
int64_t attention_backward_partials(const AttentionShape& shape);
int64_t attention_backward_items(const AttentionShape& shape);
void attention_backward(const AttentionBackward& args, int64_t begin, int64_t end, Isa level = isa());
int64_t attention_backward_reduce_items(const AttentionShape& shape);
void attention_backward_reduce(const AttentionBackward& args, int64_t begin, int64_t end, Isa level = isa());

// The bias's gradient, a pass of its own. Sizes are the bias's: 1, or those of (batch, heads, seq_q, seq_k).
struct AttentionBiasGradient {
  int64_t batch;
  int64_t heads;
  int64_t seq_q;
  int64_t seq_k;
  void* data;  // contiguous zeros, fp32 or float64
};

// Reads of `args` what the forward had, its results and grad_out.
int64_t attention_bias_gradient_items(const AttentionBiasGradient& bias);
void attention_bias_gradient(const AttentionBackward& args, const AttentionBiasGradient& bias, int64_t begin,
                             int64_t end, Isa level = isa());

}  // namespace zeta::cpu
