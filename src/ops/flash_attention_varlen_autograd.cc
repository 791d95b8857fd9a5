// What stands in front of zeta::flash_attention_varlen's kernels: gradients, autocast, and what is refused.
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "src/ops/flash_attention_autograd.h"
#include "src/ops/flash_attention_varlen.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// As FlashAttention in flash_attention_autograd.cc.
class PackedFlashAttention : public torch::autograd::Function<PackedFlashAttention> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                               const std::optional<Tensor>& /*sinks*/, const PackedLengths& lengths,
                               double softmax_scale, bool causal, const AttentionOptions& options) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [out, lse] = flash_attention_varlen_forward(q, k, v, lengths, softmax_scale, causal, options);
    variable_list saved = {q, k, v, out, lse, lengths.cu_seqlens_q, lengths.cu_seqlens_k};
    save_options(ctx, options, saved);
    ctx->save_for_backward(saved);
    ctx->saved_data["max_seqlen_q"] = lengths.max_seqlen_q;
    ctx->saved_data["max_seqlen_k"] = lengths.max_seqlen_k;
    ctx->saved_data["softmax_scale"] = softmax_scale;
    ctx->saved_data["causal"] = causal;
    ctx->mark_non_differentiable({lse});
    return {out, lse};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto options = saved_options(ctx, saved, 7);
    auto& data = ctx->saved_data;
    const PackedLengths lengths = {saved[5], saved[6], data["max_seqlen_q"].toSymInt(),
                                   data["max_seqlen_k"].toSymInt()};
    auto [grad_q, grad_k, grad_v, grad_sinks] =
        flash_attention_varlen_backward(grads[0], saved[0], saved[1], saved[2], saved[3], saved[4], lengths,
                                        data["softmax_scale"].toDouble(), data["causal"].toBool(), options);
    const Tensor none;
    return {grad_q, grad_k, grad_v, options.sinks ? grad_sinks : none, none, none, none, none};
  }
};

std::tuple<Tensor, Tensor> forward_autograd(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const PackedLengths& lengths, double softmax_scale, bool causal,
                                            const AttentionOptions& options) {
  const auto results =
      PackedFlashAttention::apply(q, k, v, options.sinks, lengths, softmax_scale, causal, options);
  return {results[0], results[1]};
}

template <c10::DeviceType kDevice, c10::DispatchKey kKey>
std::tuple<Tensor, Tensor> forward_autocast(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const PackedLengths& lengths, double softmax_scale, bool causal,
                                            AttentionOptions options) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto cast = [](const Tensor& t) { return autocast_operand<kDevice>(t); };
  autocast_options<kDevice>(options);
  return flash_attention_varlen_forward(cast(q), cast(k), cast(v), lengths, softmax_scale, causal, options);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("flash_attention_varlen_forward", zeta::ops::flat_varlen_forward<zeta::ops::forward_autograd>);
  m.impl("flash_attention_varlen_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, AutocastCPU, m) {
  using zeta::ops::flat_varlen_forward, zeta::ops::forward_autocast;
  m.impl("flash_attention_varlen_forward",
         flat_varlen_forward<forward_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>>);
}

TORCH_LIBRARY_IMPL(zeta, AutocastCUDA, m) {
  using zeta::ops::flat_varlen_forward, zeta::ops::forward_autocast;
  m.impl("flash_attention_varlen_forward",
         flat_varlen_forward<forward_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>>);
}
