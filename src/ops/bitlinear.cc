#include "src/ops/bitlinear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "src/ops/linear_shape.h"
#include "src/ops/quantize_activation.h"
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

std::tuple<Tensor, Tensor, Tensor> bitlinear_backward(const Tensor& grad_out, const Tensor& x,
                                                      const Tensor& weight, std::string_view precision,
                                                      int64_t group_size, std::array<bool, 3> output_mask) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::bitlinear_backward", "")
                             .typed<decltype(bitlinear_backward)>();
  return op.call(grad_out, x, weight, precision, group_size, output_mask);
}

namespace {

Precision check(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string_view name,
                int64_t group_size) {
  const Precision precision = parse_precision(name);
  check_weight(weight, precision, group_size);
  check_linear_shapes(x, bias, weight.sym_size(1), weight.sym_size(0));
  const bool master = weight.scalar_type() == at::kFloat && at::isReducedFloatingType(x.scalar_type());
  TORCH_CHECK(x.scalar_type() == weight.scalar_type() || master,
              "expected x and weight of one dtype, or a float32 weight with a 16-bit x; got ",
              x.scalar_type(), " and ", weight.scalar_type());
  TORCH_CHECK(weight.device() == x.device(), "expected weight on ", x.device(), ", where x is, got ",
              weight.device());
  TORCH_CHECK(!bias || bias->scalar_type() == weight.scalar_type(), "expected bias of ", weight.scalar_type(),
              ", weight's dtype, got ", bias->scalar_type());
  return precision;
}

void check_gradient(const Tensor& grad_out, const Tensor& x, const Tensor& weight) {
  const auto expected = linear_output_sizes(x, weight.sym_size(0));
  TORCH_CHECK(grad_out.dim() == x.dim() && grad_out.scalar_type() == x.scalar_type(), "expected grad_out of ",
              x.scalar_type(), " and ", x.dim(), " dimensions, as x, got ", grad_out.scalar_type(), " and ",
              grad_out.dim());
  for (int64_t d = 0; d < grad_out.dim(); ++d) {
    TORCH_SYM_CHECK(grad_out.sym_size(d).sym_eq(expected[static_cast<size_t>(d)]), "expected grad_out of ",
                    c10::SymIntArrayRef(expected), ", got ", grad_out.sym_sizes());
  }
}

Tensor forward_meta(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string_view name,
                    int64_t group_size) {
  check(x, weight, bias, name, group_size);
  return at::empty_symint(linear_output_sizes(x, weight.sym_size(0)), x.options());
}

std::tuple<Tensor, Tensor, Tensor> backward_meta(const Tensor& grad_out, const Tensor& x,
                                                 const Tensor& weight, std::string_view name,
                                                 int64_t group_size, std::array<bool, 3> output_mask) {
  check(x, weight, {}, name, group_size);
  check_gradient(grad_out, x, weight);
  const auto none = [](auto&&...) { return Tensor(); };
  const auto empty = [](c10::SymIntArrayRef sizes, const Tensor& like) {
    return at::empty_symint(sizes, like.options());
  };
  return {output_mask[0] ? empty(x.sym_sizes(), x) : none(),
          output_mask[1] ? empty(weight.sym_sizes(), weight) : none(),
          output_mask[2] ? empty({weight.sym_size(0)}, weight) : none()};
}

Tensor forward(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string_view name,
               int64_t group_size) {
  const Precision precision = check(x, weight, bias, name, group_size);
  const auto [codes, scale] = quantize_weight(weight, name, group_size);
  const Tensor y = quantized_linear(x.reshape({-1, weight.size(1)}), codes, scale, bias, precision);
  return y.view_symint(linear_output_sizes(x, weight.size(0)));
}

// x̂ in x's dtype.
Tensor activation_used(const Tensor& x, Precision precision) {
  if (precision == Precision::kInt4) return x;
  const auto q = quantize_activation(x);
  return q.codes.to(at::kFloat).div_(q.scale).to(x.scalar_type());
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad_out, const Tensor& x, const Tensor& weight,
                                            std::string_view name, int64_t group_size,
                                            std::array<bool, 3> output_mask) {
  const Precision precision = check(x, weight, {}, name, group_size);
  check_gradient(grad_out, x, weight);
  const Tensor grad = grad_out.reshape({-1, weight.size(0)});
  Tensor grad_x, grad_weight, grad_bias;
  if (output_mask[0]) {
    const auto [codes, scale] = quantize_weight(weight, name, group_size);
    grad_x = at::mm(grad, dequantize_weight(codes, scale, x.scalar_type())).view(x.sizes());
  }
  if (output_mask[1]) {
    const Tensor used = activation_used(x.reshape({-1, weight.size(1)}), precision);
    grad_weight = at::mm(grad.t(), used).to(weight.scalar_type());
  }
  if (output_mask[2]) grad_bias = grad.sum(0, /*keepdim=*/false, weight.scalar_type());
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def("bitlinear(Tensor x, Tensor weight, Tensor? bias, str precision, int group_size) -> Tensor",
        {at::Tag::pt2_compliant_tag});
  m.def(
      "bitlinear_backward(Tensor grad_out, Tensor x, Tensor weight, str precision, int group_size, "
      "bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
      {at::Tag::pt2_compliant_tag});
}

// One formula for every device; on CPU its quantisers are kernels of ours.
TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("bitlinear", zeta::ops::forward);
  m.impl("bitlinear_backward", zeta::ops::backward);
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("bitlinear", zeta::ops::forward_meta);
  m.impl("bitlinear_backward", zeta::ops::backward_meta);
}
