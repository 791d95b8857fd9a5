#include "src/ops/quantize_fp8.h"

#include <ATen/ATen.h>

namespace zeta::ops {
namespace {

using at::Tensor;

constexpr double kGreatest = 448;  // of e4m3's numbers

Tensor scale_of(const Tensor& values) {
  // A divisor on the host would become a multiplication by its inverse on CUDA, which rounds otherwise.
  const Tensor divisor = at::full({}, kGreatest, values.options());
  return values.abs().amax(-1, /*keepdim=*/true).div_(divisor).clamp_min_(0x1p-126);
}

Tensor codes_of(const Tensor& values, const Tensor& scale) {
  return values.div(scale).clamp_(-kGreatest, kGreatest).to(at::kFloat8_e4m3fn);
}

}  // namespace

std::tuple<Tensor, Tensor> quantize_fp8_weight(const Tensor& w) {
  const Tensor scale = scale_of(w).to(at::kBFloat16).to(at::kFloat);
  return {codes_of(w, scale), scale};
}

QuantizedActivation quantize_fp8_activation(const Tensor& x) {
  const Tensor values = x.to(at::kFloat), scale = scale_of(values);
  return {codes_of(values, scale), scale, {}};
}

}  // namespace zeta::ops
