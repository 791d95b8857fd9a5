#include "src/ops/quantized_linear.h"

#include <ATen/ATen.h>

#include "src/ops/quantize_fp8.h"

namespace zeta::ops {

using at::Tensor;

Tensor dequantize_weight(const Tensor& codes, const Tensor& scale, at::ScalarType dtype) {
  const Tensor groups = codes.to(at::kFloat).view({scale.dim() == 1 ? 1 : codes.size(0), scale.size(-1), -1});
  return groups.mul(scale.unsqueeze(-1)).view(codes.sizes()).to(dtype);
}

namespace {

Tensor fp8_linear(const QuantizedActivation& q, const Tensor& codes, const Tensor& scale,
                  const std::optional<Tensor>& bias, at::ScalarType dtype) {
  const auto wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  Tensor y = at::mm(q.codes.to(wide), codes.to(wide).t()).mul_(q.scale).mul_(scale.t());
  if (bias) y.add_(*bias);
  return y.to(dtype);
}

}  // namespace

Tensor codes_linear(const QuantizedActivation& q, const Tensor& codes, const Tensor& scale,
                    const std::optional<Tensor>& bias, at::ScalarType dtype) {
  if (codes.scalar_type() == at::kFloat8_e4m3fn) return fp8_linear(q, codes, scale, bias, dtype);
  const auto wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  // Activations enter as q / 128: as exact as q, and no sum leaves float16's range but with codes of 8 bits.
  const bool grouped = scale.size(-1) > 1, rows = scale.dim() == 2 && !grouped;
  const auto type = rows && dtype == at::kHalf ? at::kFloat : dtype;
  const Tensor weight = grouped ? dequantize_weight(codes, scale, type) : codes.to(type);
  Tensor y = at::mm(q.codes.mul(1.0f / 128).to(type), weight.t()).to(wide);
  y.mul_(grouped ? q.scale.reciprocal().mul_(128) : (rows ? scale.t() : scale).div(q.scale).mul_(128));
  if (bias) y.add_(*bias);
  return y.to(dtype);
}

Tensor quantized_linear(const Tensor& x, const Tensor& codes, const Tensor& scale,
                        const std::optional<Tensor>& bias, Precision precision) {
  if (precision == Precision::kFp8)
    return codes_linear(quantize_fp8_activation(x), codes, scale, bias, x.scalar_type());
  if (precision != Precision::kInt4)
    return codes_linear(quantize_activation(x), codes, scale, bias, x.scalar_type());
  const auto dtype = x.scalar_type();
  return at::linear(x, dequantize_weight(codes, scale, dtype),
                    bias ? bias->to(dtype) : std::optional<Tensor>());
}

}  // namespace zeta::ops
