// What the autograd functions of the attention ops share: how options are kept for backward and cast.
#pragma once

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

inline std::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? std::optional(t) : std::nullopt;
}

// The options' tensors are appended to what save_for_backward gets.
inline void save_options(torch::autograd::AutogradContext* ctx, const AttentionOptions& options,
                         torch::autograd::variable_list& saved) {
  for (const auto& t : {options.bias, options.alibi_slopes, options.sinks, options.rng_state})
    saved.push_back(t.value_or(at::Tensor()));
  auto& data = ctx->saved_data;
  data["window_left"] = options.window_left;
  data["window_right"] = options.window_right;
  data["softcap"] = options.softcap;
  data["dropout_p"] = options.dropout_p;
  data["deterministic"] = options.deterministic;
}

// `first` is where save_options began to append.
inline AttentionOptions saved_options(torch::autograd::AutogradContext* ctx,
                                      const torch::autograd::variable_list& saved, size_t first) {
  auto& data = ctx->saved_data;
  return {data["window_left"].toSymInt(), data["window_right"].toSymInt(), data["softcap"].toDouble(),
          optional(saved[first]),         optional(saved[first + 1]),      optional(saved[first + 2]),
          data["dropout_p"].toDouble(),   optional(saved[first + 3]),      data["deterministic"].toBool()};
}

template <c10::DeviceType kDevice>
at::Tensor autocast_operand(const at::Tensor& t) {
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(kDevice), t, kDevice);
}

// What is added to scores stays fp32 where it is.
template <c10::DeviceType kDevice>
void autocast_options(AttentionOptions& options) {
  for (auto* t : {&options.bias, &options.sinks})
    if (*t && (*t)->scalar_type() != at::kFloat) *t = autocast_operand<kDevice>(**t);
}

}  // namespace zeta::ops
