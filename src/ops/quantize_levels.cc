#include "src/ops/quantize_levels.h"

#include <ATen/ATen.h>

namespace zeta::ops {
namespace {

using at::Tensor;

// In double, rows first, so that the result depends on neither device nor threads.
Tensor mean_of(const Tensor& w) {
  return w.sum(-1, /*keepdim=*/false, at::kDouble).sum().div_(w.numel()).to(at::kFloat);
}

std::tuple<Tensor, Tensor> quantize_binary(const Tensor& w, at::ScalarType dtype) {
  const Tensor scale = mean_of(w.abs()).clamp_min_(1e-5).to(dtype).to(at::kFloat).reshape({1});
  return {w.gt(mean_of(w)).to(at::kChar).mul_(2).sub_(1), scale};
}

// Four equidistant levels around 0. At half a step of 5/8 of the mean magnitude they are a normal
// distribution's best (Max, "Quantizing for minimum distortion", 1960: a step of 0.9957 standard deviations).
std::tuple<Tensor, Tensor> quantize_int2(const Tensor& w) {
  const Tensor magnitude = w.abs().sum(-1, /*keepdim=*/true, at::kDouble).div_(w.size(1)).to(at::kFloat);
  const Tensor scale = magnitude.clamp_min_(1e-5).mul_(0.625).to(at::kBFloat16).to(at::kFloat);
  const Tensor step = scale.mul(2);
  const Tensor above = w.ge(0).to(at::kChar).add_(w.ge(step)).add_(w.ge(step.neg()));
  return {above.mul_(2).sub_(3), scale};
}

std::tuple<Tensor, Tensor> quantize_int8(const Tensor& w) {
  // A divisor on the host would become a multiplication by its inverse on CUDA, which rounds otherwise.
  const Tensor divisor = at::full({}, 127.5, w.options());
  const Tensor scale =
      w.abs().amax(-1, /*keepdim=*/true).div_(divisor).clamp_min_(0x1p-126).to(at::kBFloat16).to(at::kFloat);
  return {w.div(scale).clamp_(-128, 127).round_().to(at::kChar), scale};
}

}  // namespace

bool has_levels(Precision precision) {
  return precision == Precision::kBinary || precision == Precision::kInt2 || precision == Precision::kInt8;
}

std::tuple<Tensor, Tensor> quantize_levels(const Tensor& w, Precision precision, at::ScalarType dtype) {
  if (precision == Precision::kBinary) return quantize_binary(w, dtype);
  return precision == Precision::kInt2 ? quantize_int2(w) : quantize_int8(w);
}

}  // namespace zeta::ops
