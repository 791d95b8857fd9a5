// Attention on e4m3 operands: out = v_descale · softmax(scale · q_descale · k_descale · q kᵀ) v, in bfloat16.
// Shah et al., "FlashAttention-3" (2024), §3.3. docs/design/attention_fp8.md.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/values.h"

namespace zeta::cuda {

// (batch, num_kv_heads) numbers that codes are multiplied by; strides in elements. They must be positive:
// heads where one of q or k is not come out as NaN.
struct HeadScales {
  const float* data = nullptr;  // null: 1
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
};

struct AttentionForwardFloat8 {
  AttentionShape shape;
  float softmax_scale;
  bool causal;        // query i sees keys up to i + seq_k - seq_q
  AttentionTensor q;  // e4m3, as k and v
  AttentionTensor k;
  AttentionTensor v;
  HeadScales q_descale;
  HeadScales k_descale;
  HeadScales v_descale;
  AttentionTensor out;  // bfloat16; 0 in rows that may attend nothing
  float* lse;           // (batch, num_heads, seq_q) contiguous: log Σ exp(scores), -inf in such rows
  void* workspace;      // attention_forward_float8_workspace(shape) bytes, aligned to 16
};

// As attention_forward_sm90: a positive scale; dims that are multiples of 16 up to 128; data aligned to 16
// bytes, strides that are multiples of 16 bytes. Sizes of 0 are for the caller to handle.
int64_t attention_forward_float8_workspace(const AttentionShape& shape);
bool attention_forward_float8_supports(const AttentionForwardFloat8& args);
cudaError_t attention_forward_float8(const AttentionForwardFloat8& args, cudaStream_t stream);

}  // namespace zeta::cuda
