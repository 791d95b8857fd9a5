#include "src/ops/quantize_activation.h"

#include <ATen/ATen.h>

#include "kernels/cpu/quantize/quantize.h"
#include "src/ops/rows.h"

namespace zeta::ops {
namespace {

using at::Tensor;

QuantizedActivation quantize_cpu(const Tensor& x) {
  const int64_t tokens = x.size(0), features = x.size(1), stride = (features + 63) / 64 * 64;
  const Tensor padded = at::empty({tokens, stride}, x.options().dtype(at::kChar));
  if (stride > features) padded.narrow(1, features, stride - features).zero_();
  QuantizedActivation result{stride > features ? padded.narrow(1, 0, features) : padded,
                             at::empty({tokens, 1}, x.options().dtype(at::kFloat)),
                             at::empty({tokens}, x.options().dtype(at::kInt))};
  int8_t* codes = padded.mutable_data_ptr<int8_t>();
  float* scales = result.scale.mutable_data_ptr<float>();
  int32_t* sums = result.sum.mutable_data_ptr<int32_t>();
  parallel_rows(x.contiguous(), [&](int64_t row, const float* values) {
    const auto [scale, sum] = cpu::quantize_activation(values, features, codes + row * stride);
    scales[row] = scale;
    sums[row] = sum;
  });
  return result;
}

}  // namespace

QuantizedActivation quantize_activation(const Tensor& x) {
  if (x.is_cpu()) return quantize_cpu(x);
  const Tensor values = x.to(at::kFloat);
  const Tensor scale = values.abs().amax(-1, /*keepdim=*/true).clamp_min_(1e-5).reciprocal_().mul_(127);
  return {values.mul(scale).clamp_(-128, 127).round_().to(at::kChar), scale, {}};
}

Tensor dequantize_activation(const Tensor& codes, const Tensor& scale, at::ScalarType dtype) {
  const Tensor values = codes.reshape({-1, codes.size(-1)}).to(at::kFloat), by = scale.reshape({-1, 1});
  return (codes.scalar_type() == at::kChar ? values.div(by) : values.mul(by)).to(dtype);
}

}  // namespace zeta::ops
