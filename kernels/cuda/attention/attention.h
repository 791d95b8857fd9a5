// Scaled dot-product attention on NVIDIA GPUs: out = softmax(scale · q kᵀ) v, blocked with an online softmax.
// Dao, "FlashAttention-2" (2023); Shah et al., "FlashAttention-3" (2024).
//
// All pointers are device pointers; calls only enqueue work on `stream` and return the first error. Nothing
// is kept between calls, so that they may be captured in a CUDA graph and made from any thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/attention/options.h"

namespace zeta::cuda {

enum class HalfType { kBFloat16, kFloat16 };

struct AttentionShape {
  int64_t batch;
  int64_t seq_q;
  int64_t seq_k;
  int64_t num_heads;     // a multiple of num_kv_heads
  int64_t num_kv_heads;  // query head h reads kv head h / (num_heads / num_kv_heads)
  int64_t head_dim;      // of q and k
  int64_t value_dim;     // of v and out
};

// A (batch, seq, heads, dim) tensor: strides in elements, the last dimension contiguous.
struct AttentionTensor {
  void* data = nullptr;
  int64_t batch_stride = 0;
  int64_t seq_stride = 0;
  int64_t head_stride = 0;
};

struct AttentionForward {
  HalfType type;  // of every AttentionTensor
  AttentionShape shape;
  float softmax_scale;
  bool causal;  // query i sees keys up to i + seq_k - seq_q
  AttentionTensor q;
  AttentionTensor k;
  AttentionTensor v;
  AttentionTensor out;  // 0 in rows that may attend nothing
  float* lse;           // (batch, num_heads, seq_q) contiguous: log Σ exp(scores), -inf in such rows
  AttentionOptions options = {};
  AttentionPacking packing = {};  // with it shape is that of all rows together, and lse (num_heads, rows)
  void* workspace = nullptr;      // attention_forward_options_workspace(args) bytes, aligned to 16
};

// Whether attention_forward_sm90 can do it: a positive scale, dims that are multiples of 8 up to 128, data
// aligned to 16 bytes, strides that are multiples of 16 bytes. The device must be of compute capability 9.0.
bool attention_forward_sm90_supports(const AttentionForward& args);
cudaError_t attention_forward_sm90(const AttentionForward& args, cudaStream_t stream);

// The same for whatever attention_forward_sm90 does not look at: options, packing, any scale and dims up to
// 256.
int64_t attention_forward_options_workspace(const AttentionForward& args);
bool attention_forward_options_supports(const AttentionForward& args);
cudaError_t attention_forward_options(const AttentionForward& args, cudaStream_t stream);
// Rows of a tile, for AttentionPacking.
int attention_forward_rows();

struct AttentionBackward {
  HalfType type;
  AttentionShape shape;
  float softmax_scale;
  bool causal;
  AttentionTensor q;
  AttentionTensor k;
  AttentionTensor v;
  AttentionTensor out;
  AttentionTensor grad_out;
  const float* lse;  // that of the forward
  AttentionTensor grad_q;
  AttentionTensor grad_k;
  AttentionTensor grad_v;
  void* workspace;  // attention_backward_sm90_workspace(shape) bytes, aligned to 16
  AttentionOptions options = {};
  AttentionPacking packing = {};  // with it shape is that of all rows together, and lse (num_heads, rows)
  AttentionBiasGradient grad_bias = {};
  bool deterministic = false;  // grad_q is summed in the order of keys; only the kernels with options can
};

// Sizes of 0 are for the caller to handle. grad_q is summed in an order that varies between runs; grad_k and
// grad_v are not.
int64_t attention_backward_sm90_workspace(const AttentionShape& shape);
bool attention_backward_sm90_supports(const AttentionBackward& args);
cudaError_t attention_backward_sm90(const AttentionBackward& args, cudaStream_t stream);

// The same with options, packing, any scale, dims up to 256, and deterministic; args.workspace may be null
// for the first. A bias's gradient where it broadcasts is summed in an order that varies, asked or not.
int64_t attention_backward_options_workspace(const AttentionBackward& args);
bool attention_backward_options_supports(const AttentionBackward& args);
cudaError_t attention_backward_options(const AttentionBackward& args, cudaStream_t stream);
// Rows of a tile of keys, and queries of a block, for AttentionPacking.
int attention_backward_rows(const AttentionShape& shape);
int attention_backward_queries(const AttentionShape& shape);

}  // namespace zeta::cuda
