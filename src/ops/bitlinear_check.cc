#include "src/ops/bitlinear_check.h"

#include "src/ops/linear_shape.h"

namespace zeta::ops {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

std::optional<at::ScalarType> activation_codes(Precision precision) {
  switch (precision) {
    case Precision::kTernary:
    case Precision::kBinary:
    case Precision::kInt2:
    case Precision::kW4A8:
    case Precision::kInt8:
      return at::kChar;
    case Precision::kInt4:
      return {};
    case Precision::kFp8:
      return at::kFloat8_e4m3fn;
  }
  return {};
}

namespace {

void check_layer(const Tensor& x, at::ScalarType dtype, const Tensor& weight, const OptionalTensor& bias,
                 Precision precision, int64_t group_size) {
  check_weight(weight, precision, group_size);
  check_linear_shapes(x, bias, weight.sym_size(1), weight.sym_size(0));
  const bool master = weight.scalar_type() == at::kFloat && at::isReducedFloatingType(dtype);
  TORCH_CHECK(dtype == weight.scalar_type() || master,
              "expected x and weight of one dtype, or a float32 weight with a 16-bit x; got ", dtype, " and ",
              weight.scalar_type());
  TORCH_CHECK(weight.device() == x.device(), "expected weight on ", x.device(), ", where x is, got ",
              weight.device());
  TORCH_CHECK(!bias || bias->scalar_type() == weight.scalar_type(), "expected bias of ", weight.scalar_type(),
              ", weight's dtype, got ", bias->scalar_type());
}

void check_codes(const Tensor& x, const Tensor& x_scale, Precision precision) {
  const auto codes = activation_codes(precision);
  TORCH_CHECK(codes.has_value(), "expected no x_scale: this precision does not quantise activations");
  TORCH_CHECK(x.scalar_type() == *codes, "expected x of ", *codes, ", as it comes with x_scale, got ",
              x.scalar_type());
  TORCH_CHECK(x_scale.device() == x.device(), "expected x_scale on ", x.device(), " as x, got ",
              x_scale.device());
  TORCH_CHECK(x_scale.scalar_type() == at::kFloat, "expected x_scale of Float, got ", x_scale.scalar_type());
  TORCH_SYM_CHECK((x_scale.sym_numel() * x.sym_size(-1)).sym_eq(x.sym_numel()),
                  "expected x_scale with one value a token of x ", x.sym_sizes(), ", got ",
                  x_scale.sym_sizes());
}

}  // namespace

Precision check_bitlinear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                          std::string_view name, int64_t group_size) {
  const Precision precision = parse_precision(name);
  check_layer(x, x.scalar_type(), weight, bias, precision, group_size);
  return precision;
}

Precision check_bitlinear_backward(const Tensor& grad_out, const Tensor& x, const Tensor& weight,
                                   std::string_view name, int64_t group_size, const OptionalTensor& x_scale) {
  const Precision precision = parse_precision(name);
  if (x_scale) {
    check_layer(x, grad_out.scalar_type(), weight, {}, precision, group_size);
    check_codes(x, *x_scale, precision);
  } else {
    check_layer(x, x.scalar_type(), weight, {}, precision, group_size);
  }
  TORCH_CHECK(grad_out.device() == x.device(), "expected grad_out on ", x.device(), " as x, got ",
              grad_out.device());
  const auto expected = linear_output_sizes(x, weight.sym_size(0));
  TORCH_CHECK(grad_out.dim() == x.dim() && (x_scale || grad_out.scalar_type() == x.scalar_type()),
              "expected grad_out of ", x.scalar_type(), " and ", x.dim(), " dimensions, as x, got ",
              grad_out.scalar_type(), " and ", grad_out.dim());
  for (int64_t d = 0; d < grad_out.dim(); ++d) {
    TORCH_SYM_CHECK(grad_out.sym_size(d).sym_eq(expected[static_cast<size_t>(d)]), "expected grad_out of ",
                    c10::SymIntArrayRef(expected), ", got ", grad_out.sym_sizes());
  }
  return precision;
}

}  // namespace zeta::ops
