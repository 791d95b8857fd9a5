// Scaled dot-product attention on CPU: out = softmax(scale · q kᵀ, where the mask allows) v, and its
// gradients.
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

struct AttentionInputs {
  ElementType type;  // of every AttentionTensor
  AttentionShape shape;
  double softmax_scale;
  bool causal;  // query i sees keys up to i + seq_k - seq_q
  AttentionTensor q;
  AttentionTensor k;
  AttentionTensor v;
  AttentionMask mask;
};

struct AttentionForward {
  AttentionInputs inputs;
  AttentionTensor out;  // 0 in rows that may attend nothing
  void* lse;  // (batch, num_heads, seq_q) contiguous, fp32 or float64: log Σ exp(scores), -inf in such rows
};

int64_t attention_forward_items(const AttentionShape& shape);
void attention_forward(const AttentionForward& args, int64_t begin, int64_t end, Isa level = isa());

struct AttentionBackward {
  AttentionInputs inputs;
  AttentionTensor out;
  AttentionTensor grad_out;
  const void* lse;
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

}  // namespace zeta::cpu
