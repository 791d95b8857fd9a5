// The attention ops' tensors as the kernels for Hopper read them.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "kernels/cuda/attention/attention.h"
#include "src/ops/flash_attention_options.h"
#include "src/ops/flash_attention_varlen.h"

namespace zeta::ops {

// (batch, seq, heads, dim) as the copy engine can address it: the tensor itself, or a copy, whose last
// dimension is filled with zeros up to a multiple of 8.
at::Tensor hopper_readable(const at::Tensor& t);
cuda::AttentionTensor hopper_operand(const at::Tensor& t);
cuda::HalfType hopper_type(const at::Tensor& q);
// Whether q's device, its dtype and the tensors' sizes are what kernels for Hopper are for.
bool hopper_can_read(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

// A kernel that adds with atomics must not run where anybody has asked for the same gradients each time.
bool must_be_deterministic(const AttentionOptions& options);

// q, k and v, and what keeps them alive. Its options have no mask or bias yet.
struct HopperOperands {
  HopperOperands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

  at::Tensor q, k, v;
  cuda::HalfType type;
  cuda::AttentionShape shape;
};

// The options, and the tensors that keep them alive, of `batch` batches or sequences.
struct HopperOptions {
  HopperOptions(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& mask,
                const AttentionOptions& options, int64_t batch);

  at::Tensor mask, bias, slopes, sinks, rng_state;
  cuda::AttentionOptions options;
};

// Packed sequences' tables on q's device: tiles of `rows` rows, of queries or (key_tiles) of keys, those with
// the most to do first; and how many blocks of `queries` queries there are.
struct HopperPacking {
  HopperPacking(const at::Tensor& q, const std::vector<PackedSequence>& sequences, bool key_tiles, int rows,
                int queries, bool causal);

  at::Tensor tables;
  cuda::AttentionPacking packing;
};

}  // namespace zeta::ops
