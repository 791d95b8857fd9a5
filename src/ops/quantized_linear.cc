#include "src/ops/quantized_linear.h"

#include <ATen/ATen.h>

namespace zeta::ops {

using at::Tensor;

Tensor dequantize_weight(const Tensor& codes, const Tensor& scale, at::ScalarType dtype) {
  const Tensor groups = codes.to(at::kFloat).view({scale.dim() == 1 ? 1 : codes.size(0), scale.size(-1), -1});
  return groups.mul(scale.unsqueeze(-1)).view(codes.sizes()).to(dtype);
}

Tensor ternary_linear(const QuantizedActivation& q, const Tensor& codes, const Tensor& scale,
                      const std::optional<Tensor>& bias, at::ScalarType dtype) {
  const auto wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  // Activations enter as q / 128: as exact as q, and no sum leaves float16's range.
  Tensor y = at::mm(q.codes.mul(1.0f / 128).to(dtype), codes.to(dtype).t()).to(wide);
  y.mul_(scale.mul(128).div(q.scale));
  if (bias) y.add_(*bias);
  return y.to(dtype);
}

Tensor quantized_linear(const Tensor& x, const Tensor& codes, const Tensor& scale,
                        const std::optional<Tensor>& bias, Precision precision) {
  if (precision == Precision::kTernary)
    return ternary_linear(quantize_activation(x), codes, scale, bias, x.scalar_type());
  const auto dtype = x.scalar_type();
  return at::linear(x, dequantize_weight(codes, scale, dtype),
                    bias ? bias->to(dtype) : std::optional<Tensor>());
}

}  // namespace zeta::ops
