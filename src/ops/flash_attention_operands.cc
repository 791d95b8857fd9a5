#include "src/ops/flash_attention_operands.h"

#include <ATen/ATen.h>

#include <cmath>

#include "src/ops/flash_attention_check.h"

namespace zeta::ops {
namespace {

using at::Tensor;

cpu::ElementType element_type(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16:
      return cpu::ElementType::kBFloat16;
    case at::kHalf:
      return cpu::ElementType::kFloat16;
    case at::kDouble:
      return cpu::ElementType::kFloat64;
    default:
      return cpu::ElementType::kFloat32;
  }
}

cpu::AttentionDropout dropout(const AttentionOptions& options) {
  if (options.dropout_p == 0) return {};
  const Tensor state = options.rng_state->contiguous();
  const int64_t* words = state.const_data_ptr<int64_t>();
  return {attention_dropout_threshold(options.dropout_p), static_cast<uint64_t>(words[0]),
          static_cast<uint64_t>(words[1]), 0};
}

}  // namespace

Tensor readable(const Tensor& t) { return t.stride(-1) == 1 || t.size(-1) == 1 ? t : t.contiguous(); }

cpu::AttentionTensor attention_view(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}

cpu::AttentionRows row_view(const Tensor& lse) { return {lse.data_ptr(), lse.stride(0), lse.stride(1)}; }

AttentionOperands::AttentionOperands(const Tensor& q_, const Tensor& k_, const Tensor& v_,
                                     const std::optional<Tensor>& mask_, double softmax_scale, bool causal,
                                     const AttentionOptions& options)
    : AttentionOperands(q_, k_, v_, mask_, softmax_scale, causal, options, q_.size(0)) {}

AttentionOperands::AttentionOperands(const Tensor& q_, const Tensor& k_, const Tensor& v_,
                                     const std::optional<Tensor>& mask_, double softmax_scale, bool causal,
                                     const AttentionOptions& options, int64_t slope_batch)
    : q(readable(q_)), k(readable(k_)), v(readable(v_)) {
  inputs = {element_type(q.scalar_type()),
            {q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)},
            softmax_scale,
            causal,
            attention_view(q),
            attention_view(k),
            attention_view(v),
            {}};
  const int64_t full[] = {q.size(0), q.size(2), q.size(1), k.size(1)};
  if (mask_) {
    mask = mask_->expand(full);
    inputs.mask = {mask.const_data_ptr<bool>(), mask.stride(0), mask.stride(1), mask.stride(2),
                   mask.stride(3)};
  }
  // Beyond any sequence, and far from overflow.
  constexpr int64_t kWidest = int64_t{1} << 40;
  inputs.window_left = std::min(options.window_left.expect_int(), kWidest);
  inputs.window_right = std::min(options.window_right.expect_int(), kWidest);
  inputs.softcap = options.softcap;
  inputs.dropout = dropout(options);
  if (options.bias) {
    bias = options.bias->expand(full);
    inputs.bias = {bias.const_data_ptr(), bias.scalar_type() != q.scalar_type(),
                   bias.stride(0),        bias.stride(1),
                   bias.stride(2),        bias.stride(3)};
  }
  if (options.alibi_slopes) {
    alibi_slopes = options.alibi_slopes->expand({slope_batch, q.size(2)});
    if (alibi_slopes.stride(1) != 1) alibi_slopes = alibi_slopes.contiguous();
    inputs.alibi = {alibi_slopes.const_data_ptr<float>(), alibi_slopes.stride(0)};
  }
  if (options.sinks) {
    sinks = options.sinks->to(attention_compute_type(q)).contiguous();
    inputs.sinks = sinks.const_data_ptr();
  }
}

}  // namespace zeta::ops
