// What attention ops hand to the decode kernels (kernels/cuda/decode): queries that are few beside their
// keys.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "kernels/cuda/decode/decode.h"
#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

// Whether the device and q's dtype have decode kernels.
bool has_decode_kernel(const at::Tensor& q);

// As the kernels can read it: itself, or a copy.
at::Tensor decode_readable(const at::Tensor& t);

// For the kernels' 32 bits; -1, which decode_supports refuses, where they do not hold it.
int32_t decode_size(int64_t size);

// A (batch, seq, heads, dim) tensor.
cuda::DecodeTensor decode_view(const at::Tensor& t);

// A call without keys, and the tensors that keep it alive. q and out are (batch, seq_q, heads, dim), lse
// (batch, heads, seq_q).
struct DecodeCall {
  DecodeCall(const at::Tensor& q, const at::Tensor& out, const at::Tensor& lse, int64_t sequences,
             double scale, bool causal, const AttentionOptions& options);

  at::Tensor slopes, sinks;
  cuda::DecodeAttention call;
};

// Enqueues it, with a workspace.
void run_decode(cuda::DecodeAttention& call, const cuda::DecodeNew& added, const at::Tensor& q);

// flash_attention of a few queries to dense keys; nothing where another kernel is for it. The arguments have
// been checked.
std::optional<std::tuple<at::Tensor, at::Tensor>> flash_attention_decode(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& mask,
    double scale, bool causal, const AttentionOptions& options);

}  // namespace zeta::ops
