#include "src/ops/flash_attention.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

std::tuple<Tensor, Tensor> flash_attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                                   const OptionalTensor& mask, double softmax_scale,
                                                   bool causal) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_forward", "")
                             .typed<decltype(flash_attention_forward)>();
  return op.call(q, k, v, mask, softmax_scale, causal);
}

std::tuple<Tensor, Tensor, Tensor> flash_attention_backward(const Tensor& grad_out, const Tensor& q,
                                                            const Tensor& k, const Tensor& v,
                                                            const Tensor& out, const Tensor& lse,
                                                            const OptionalTensor& mask, double softmax_scale,
                                                            bool causal) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_backward", "")
                             .typed<decltype(flash_attention_backward)>();
  return op.call(grad_out, q, k, v, out, lse, mask, softmax_scale, causal);
}

namespace {

std::tuple<Tensor, Tensor> forward_meta(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const OptionalTensor& mask, double, bool) {
  check_attention_inputs(q, k, v, mask);
  return {at::empty_symint({q.sym_size(0), q.sym_size(1), q.sym_size(2), v.sym_size(3)}, q.options()),
          at::empty_symint({q.sym_size(0), q.sym_size(2), q.sym_size(1)},
                           q.options().dtype(attention_compute_type(q)))};
}

std::tuple<Tensor, Tensor, Tensor> backward_meta(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                 const Tensor& v, const Tensor& out, const Tensor& lse,
                                                 const OptionalTensor& mask, double, bool) {
  check_attention_inputs(q, k, v, mask);
  check_attention_gradient(grad_out, q, v, out, lse);
  return {at::empty_symint(q.sym_sizes(), q.options()), at::empty_symint(k.sym_sizes(), k.options()),
          at::empty_symint(v.sym_sizes(), v.options())};
}

// Redispatches both ways, so that tracers (AOTAutograd) see the two ops and not their insides.
class FlashAttention : public torch::autograd::Function<FlashAttention> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                               const OptionalTensor& mask, double softmax_scale, bool causal) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [out, lse] = flash_attention_forward(q, k, v, mask, softmax_scale, causal);
    ctx->save_for_backward({q, k, v, mask.value_or(Tensor()), out, lse});
    ctx->saved_data["softmax_scale"] = softmax_scale;
    ctx->saved_data["causal"] = causal;
    ctx->mark_non_differentiable({lse});
    return {out, lse};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &mask = saved[3], none;
    auto [grad_q, grad_k, grad_v] = flash_attention_backward(
        grads[0], saved[0], saved[1], saved[2], saved[4], saved[5],
        mask.defined() ? OptionalTensor(mask) : std::nullopt, ctx->saved_data["softmax_scale"].toDouble(),
        ctx->saved_data["causal"].toBool());
    return {grad_q, grad_k, grad_v, none, none, none};
  }
};

std::tuple<Tensor, Tensor> forward_autograd(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const OptionalTensor& mask, double softmax_scale, bool causal) {
  const auto results = FlashAttention::apply(q, k, v, mask, softmax_scale, causal);
  return {results[0], results[1]};
}

template <c10::DeviceType kDevice, c10::DispatchKey kKey>
std::tuple<Tensor, Tensor> forward_autocast(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const OptionalTensor& mask, double softmax_scale, bool causal) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto cast = [type = at::autocast::get_autocast_dtype(kDevice)](const Tensor& t) {
    return at::autocast::cached_cast(type, t, kDevice);
  };
  return flash_attention_forward(cast(q), cast(k), cast(v), mask, softmax_scale, causal);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "flash_attention_forward(Tensor q, Tensor k, Tensor v, Tensor? mask, float softmax_scale, bool causal) "
      "-> "
      "(Tensor out, Tensor lse)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "flash_attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, "
      "Tensor? mask, "
      "float softmax_scale, bool causal) -> (Tensor, Tensor, Tensor)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("flash_attention_forward", zeta::ops::forward_meta);
  m.impl("flash_attention_backward", zeta::ops::backward_meta);
}

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("flash_attention_forward", zeta::ops::forward_autograd);
  m.impl("flash_attention_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, AutocastCPU, m) {
  m.impl("flash_attention_forward", zeta::ops::forward_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>);
}

TORCH_LIBRARY_IMPL(zeta, AutocastCUDA, m) {
  m.impl("flash_attention_forward", zeta::ops::forward_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>);
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("flash_attention_forward", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
  m.impl("flash_attention_backward", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
