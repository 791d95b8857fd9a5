// What stands in front of zeta::bitlinear's kernels: gradients, autocast, and what is refused.
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "src/ops/bitlinear.h"
#include "src/ops/bitlinear_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

// Of x's shape and dtype, one element in memory.
Tensor shape_of_x(const Tensor& grad, const Tensor& weight) {
  c10::SymDimVector sizes(grad.sym_sizes().begin(), grad.sym_sizes().end());
  sizes.back() = weight.sym_size(1);
  return at::zeros({1}, grad.options()).expand_symint(sizes);
}

// Redispatches both ways, so that tracers (AOTAutograd) see the two ops and not their insides.
class BitLinear : public torch::autograd::Function<BitLinear> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const OptionalTensor& bias, std::string_view precision, int64_t group_size) {
    ctx->saved_data["precision"] = std::string(precision);
    ctx->saved_data["group_size"] = group_size;
    ctx->saved_data["has_bias"] = bias.has_value();
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    if (!weight.requires_grad()) {  // nothing of x is needed for its own gradient
      ctx->save_for_backward({Tensor(), weight, Tensor()});
      return bitlinear(x, weight, bias, precision, group_size);
    }
    // x stays where activations are not quantised; else its codes do, which take less.
    if (!activation_codes(parse_precision(precision))) {
      ctx->save_for_backward({x, weight, Tensor()});
      return bitlinear(x, weight, bias, precision, group_size);
    }
    auto [y, codes, scale] = bitlinear_forward(x, weight, bias, precision, group_size);
    ctx->save_for_backward({codes, weight, scale});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const bool bias = ctx->saved_data["has_bias"].toBool();
    const std::array<bool, 3> mask = {ctx->needs_input_grad(0), ctx->needs_input_grad(1),
                                      bias && ctx->needs_input_grad(2)};
    const OptionalTensor x_scale = saved[2].defined() ? OptionalTensor(saved[2]) : std::nullopt;
    auto [grad_x, grad_weight, grad_bias] = bitlinear_backward(
        grads[0], saved[0].defined() ? saved[0] : shape_of_x(grads[0], saved[1]), saved[1],
        ctx->saved_data["precision"].toStringRef(), ctx->saved_data["group_size"].toInt(), mask, x_scale);
    return {grad_x, grad_weight, grad_bias, Tensor(), Tensor()};
  }
};

Tensor forward_autograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                        std::string_view precision, int64_t group_size) {
  const bool gradients = at::GradMode::is_enabled() &&
                         (x.requires_grad() || weight.requires_grad() || (bias && bias->requires_grad()));
  if (gradients) return BitLinear::apply(x, weight, bias, precision, group_size);
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return bitlinear(x, weight, bias, precision, group_size);
}

template <c10::DeviceType kDevice, c10::DispatchKey kKey>
Tensor forward_autocast(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                        std::string_view precision, int64_t group_size) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto type = at::autocast::get_autocast_dtype(kDevice);
  const auto cast = [&](const Tensor& t) { return at::autocast::cached_cast(type, t, kDevice); };
  if (weight.scalar_type() == at::kFloat) return bitlinear(cast(x), weight, bias, precision, group_size);
  return bitlinear(cast(x), cast(weight), bias ? cast(*bias) : bias, precision, group_size);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("bitlinear", zeta::ops::forward_autograd);
  m.impl("bitlinear_forward", torch::autograd::autogradNotImplementedFallback());
  m.impl("bitlinear_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, AutocastCPU, m) {
  m.impl("bitlinear", zeta::ops::forward_autocast<at::kCPU, c10::DispatchKey::AutocastCPU>);
}

TORCH_LIBRARY_IMPL(zeta, AutocastCUDA, m) {
  m.impl("bitlinear", zeta::ops::forward_autocast<at::kCUDA, c10::DispatchKey::AutocastCUDA>);
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("bitlinear", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
  m.impl("bitlinear_forward", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
  m.impl("bitlinear_backward", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
