#include "src/ops/bitlinear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "src/ops/bitlinear_aten.h"
#include "src/ops/bitlinear_check.h"
#include "src/ops/linear_shape.h"
#include "src/ops/quantize_activation.h"
#include "src/ops/quantize_fp8.h"
#include "src/ops/quantize_weight.h"
#include "src/ops/quantized_linear.h"

namespace zeta::ops {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor bitlinear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                 std::string_view precision, int64_t group_size) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("zeta::bitlinear", "").typed<decltype(bitlinear)>();
  return op.call(x, weight, bias, precision, group_size);
}

std::tuple<Tensor, Tensor, Tensor> bitlinear_forward(const Tensor& x, const Tensor& weight,
                                                     const OptionalTensor& bias, std::string_view precision,
                                                     int64_t group_size) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::bitlinear_forward", "")
                             .typed<decltype(bitlinear_forward)>();
  return op.call(x, weight, bias, precision, group_size);
}

std::tuple<Tensor, Tensor, Tensor> bitlinear_backward(const Tensor& grad_out, const Tensor& x,
                                                      const Tensor& weight, std::string_view precision,
                                                      int64_t group_size, std::array<bool, 3> output_mask,
                                                      const OptionalTensor& x_scale) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::bitlinear_backward", "")
                             .typed<decltype(bitlinear_backward)>();
  return op.call(grad_out, x, weight, precision, group_size, output_mask, x_scale);
}

namespace {

Tensor inference_meta(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                      std::string_view name, int64_t group_size) {
  check_bitlinear(x, weight, bias, name, group_size);
  return at::empty_symint(linear_output_sizes(x, weight.sym_size(0)), x.options());
}

std::tuple<Tensor, Tensor, Tensor> forward_meta(const Tensor& x, const Tensor& weight,
                                                const OptionalTensor& bias, std::string_view name,
                                                int64_t group_size) {
  const auto codes = activation_codes(check_bitlinear(x, weight, bias, name, group_size));
  const auto sizes = x.sym_sizes();
  const auto empty = [&](c10::SymIntArrayRef shape, at::ScalarType type) {
    return at::empty_symint(codes ? shape : c10::SymIntArrayRef{0}, x.options().dtype(type));
  };
  return {at::empty_symint(linear_output_sizes(x, weight.sym_size(0)), x.options()),
          empty(sizes, codes.value_or(at::kChar)), empty(sizes.slice(0, sizes.size() - 1), at::kFloat)};
}

std::tuple<Tensor, Tensor, Tensor> backward_meta(const Tensor& grad_out, const Tensor& x,
                                                 const Tensor& weight, std::string_view name,
                                                 int64_t group_size, std::array<bool, 3> output_mask,
                                                 const OptionalTensor& x_scale) {
  check_bitlinear_backward(grad_out, x, weight, name, group_size, x_scale);
  const auto none = [](auto&&...) { return Tensor(); };
  const auto empty = [](c10::SymIntArrayRef sizes, const Tensor& like) {
    return at::empty_symint(sizes, like.options());
  };
  return {output_mask[0] ? empty(x.sym_sizes(), grad_out) : none(),
          output_mask[1] ? empty(weight.sym_sizes(), weight) : none(),
          output_mask[2] ? empty({weight.sym_size(0)}, weight) : none()};
}

QuantizedActivation quantize(const Tensor& rows, Precision precision) {
  return precision == Precision::kFp8 ? quantize_fp8_activation(rows) : quantize_activation(rows);
}

// x̂ in the dtype that x had, from x or from the codes that the forward kept of it.
Tensor activation_used(const Tensor& x, const OptionalTensor& x_scale, Precision precision,
                       at::ScalarType dtype) {
  if (x_scale) return dequantize_activation(x, *x_scale, dtype);
  const Tensor rows = x.reshape({-1, x.size(-1)});
  if (!activation_codes(precision)) return rows;
  const auto q = quantize(rows, precision);
  return dequantize_activation(q.codes, q.scale, dtype);
}

}  // namespace

Tensor bitlinear_aten(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                      std::string_view name, int64_t group_size) {
  const Precision precision = check_bitlinear(x, weight, bias, name, group_size);
  const auto [codes, scale] = quantize_weight(weight, name, group_size);
  const Tensor y = quantized_linear(x.reshape({-1, weight.size(1)}), codes, scale, bias, precision);
  return y.view_symint(linear_output_sizes(x, weight.size(0)));
}

std::tuple<Tensor, Tensor, Tensor> bitlinear_forward_aten(const Tensor& x, const Tensor& weight,
                                                          const OptionalTensor& bias, std::string_view name,
                                                          int64_t group_size) {
  const Precision precision = check_bitlinear(x, weight, bias, name, group_size);
  if (!activation_codes(precision)) {
    return {bitlinear_aten(x, weight, bias, name, group_size), at::empty({0}, x.options().dtype(at::kChar)),
            at::empty({0}, x.options().dtype(at::kFloat))};
  }
  const auto [codes, scale] = quantize_weight(weight, name, group_size);
  const auto q = quantize(x.reshape({-1, weight.size(1)}), precision);
  const Tensor y = codes_linear(q, codes, scale, bias, x.scalar_type());
  return {y.view_symint(linear_output_sizes(x, weight.size(0))), q.codes.contiguous().view(x.sizes()),
          q.scale.view(x.sizes().slice(0, x.dim() - 1))};
}

std::tuple<Tensor, Tensor, Tensor> bitlinear_backward_aten(const Tensor& grad_out, const Tensor& x,
                                                           const Tensor& weight, std::string_view name,
                                                           int64_t group_size,
                                                           std::array<bool, 3> output_mask,
                                                           const OptionalTensor& x_scale) {
  const Precision precision = check_bitlinear_backward(grad_out, x, weight, name, group_size, x_scale);
  const Tensor grad = grad_out.reshape({-1, weight.size(0)});
  const auto dtype = grad.scalar_type();
  Tensor grad_x, grad_weight, grad_bias;
  if (output_mask[0]) {
    const auto [codes, scale] = quantize_weight(weight, name, group_size);
    grad_x = at::mm(grad, dequantize_weight(codes, scale, dtype)).view(x.sizes());
  }
  if (output_mask[1])
    grad_weight = at::mm(grad.t(), activation_used(x, x_scale, precision, dtype)).to(weight.scalar_type());
  if (output_mask[2]) grad_bias = grad.sum(0, /*keepdim=*/false, weight.scalar_type());
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def("bitlinear(Tensor x, Tensor weight, Tensor? bias, str precision, int group_size) -> Tensor",
        {at::Tag::pt2_compliant_tag});
  m.def(
      "bitlinear_forward(Tensor x, Tensor weight, Tensor? bias, str precision, int group_size) -> (Tensor y, "
      "Tensor codes, Tensor scale)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "bitlinear_backward(Tensor grad_out, Tensor x, Tensor weight, str precision, int group_size, "
      "bool[3] output_mask, Tensor? x_scale=None) -> (Tensor, Tensor, Tensor)",
      {at::Tag::pt2_compliant_tag});
}

// The formula, for devices without kernels of their own: bitlinear_cpu.cc and bitlinear_cuda.cc have them.
TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("bitlinear", zeta::ops::bitlinear_aten);
  m.impl("bitlinear_forward", zeta::ops::bitlinear_forward_aten);
  m.impl("bitlinear_backward", zeta::ops::bitlinear_backward_aten);
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("bitlinear", zeta::ops::inference_meta);
  m.impl("bitlinear_forward", zeta::ops::forward_meta);
  m.impl("bitlinear_backward", zeta::ops::backward_meta);
}
