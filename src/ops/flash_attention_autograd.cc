// What stands in front of zeta::flash_attention's kernels: gradients, autocast, and what is refused.
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "src/ops/flash_attention.h"
#include "src/ops/flash_attention_autograd.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

// Redispatches both ways, so that tracers (AOTAutograd) see the two ops and not their insides. bias and sinks
// are among the options too; they are named for the graph, which sees no tensor inside a struct.
class FlashAttention : public torch::autograd::Function<FlashAttention> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                               const OptionalTensor& /*bias*/, const OptionalTensor& /*sinks*/,
                               const OptionalTensor& mask, double softmax_scale, bool causal,
                               const AttentionOptions& options) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [out, lse] = flash_attention_forward(q, k, v, mask, softmax_scale, causal, options);
    variable_list saved = {q, k, v, out, lse, mask.value_or(Tensor())};
    save_options(ctx, options, saved);
    ctx->save_for_backward(saved);
    ctx->saved_data["softmax_scale"] = softmax_scale;
    ctx->saved_data["causal"] = causal;
    ctx->mark_non_differentiable({lse});
    return {out, lse};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto options = saved_options(ctx, saved, 6);
    const bool bias_grad = options.bias && ctx->needs_input_grad(3);
    auto [grad_q, grad_k, grad_v, grad_bias, grad_sinks] = flash_attention_backward(
        grads[0], saved[0], saved[1], saved[2], saved[3], saved[4], optional(saved[5]),
        ctx->saved_data["softmax_scale"].toDouble(), ctx->saved_data["causal"].toBool(), options, bias_grad);
    const Tensor none;
    return {grad_q, grad_k, grad_v, bias_grad ? grad_bias : none, options.sinks ? grad_sinks : none, none,
            none,   none,   none};
  }
};

std::tuple<Tensor, Tensor> forward_autograd(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const OptionalTensor& mask, double softmax_scale, bool causal,
                                            const AttentionOptions& options) {
  const auto results =
      FlashAttention::apply(q, k, v, options.bias, options.sinks, mask, softmax_scale, causal, options);
  return {results[0], results[1]};
}

template <c10::DeviceType kDevice, c10::DispatchKey kKey>
std::tuple<Tensor, Tensor> forward_autocast(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const OptionalTensor& mask, double softmax_scale, bool causal,
                                            AttentionOptions options) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto cast = [](const Tensor& t) { return autocast_operand<kDevice>(t); };
  autocast_options<kDevice>(options);
  return flash_attention_forward(cast(q), cast(k), cast(v), mask, softmax_scale, causal, options);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("flash_attention_forward", zeta::ops::flat_forward<zeta::ops::forward_autograd>);
  m.impl("flash_attention_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, AutocastCPU, m) {
  using zeta::ops::flat_forward, zeta::ops::forward_autocast;
  m.impl("flash_attention_forward", flat_forward<forward_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>>);
}

TORCH_LIBRARY_IMPL(zeta, AutocastCUDA, m) {
  using zeta::ops::flat_forward, zeta::ops::forward_autocast;
  m.impl("flash_attention_forward",
         flat_forward<forward_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>>);
}
