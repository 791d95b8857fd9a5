// The bitlinear ops on a GPU: fused quantisers, and int8 products on Hopper's tensor cores.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/cuda/scaled_product/scaled_product.h"
#include "src/ops/bitlinear_aten.h"
#include "src/ops/bitlinear_check.h"
#include "src/ops/cuda_values.h"
#include "src/ops/linear_shape.h"
#include "src/ops/quantize_cuda.h"
#include "src/ops/quantized_linear.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// With zeros at the ends, up to multiples of what the products take.
Tensor padded(const Tensor& codes, int64_t rows, int64_t columns) {
  const int64_t more_rows = -codes.size(0) & (rows - 1), more_columns = -codes.size(1) & (columns - 1);
  if (more_rows + more_columns == 0) return codes;
  if (codes.scalar_type() == at::kFloat8_e4m3fn) return padded(codes.view(at::kByte), rows, columns);
  return at::constant_pad_nd(codes, {0, more_columns, 0, more_rows});
}

// y (tokens, out_features) of x's codes.
Tensor multiply(const QuantizedActivation& x, const QuantizedWeight& weight, const OptionalTensor& bias,
                at::ScalarType dtype) {
  const bool grouped = weight.scale.size(-1) > 1;
  if (grouped || at::cuda::getCurrentDeviceProperties()->major != 9)
    return codes_linear(x, weight.codes, weight.scale, bias, dtype);
  const bool fp8 = x.codes.scalar_type() == at::kFloat8_e4m3fn;
  if (!fp8 && weight.scale.dim() == 2) {  // the int8 product takes one scale: 1, and a pass for the rows'
    const Tensor one = at::ones({1}, weight.scale.options());
    Tensor y = multiply(x, {weight.codes, one}, {}, at::kFloat).mul_(weight.scale.t());
    if (bias) y.add_(*bias);
    return y.to(dtype);
  }
  const int64_t out_features = weight.codes.size(0);
  const Tensor a = padded(x.codes, 1, 16), b = padded(weight.codes, 8, 16);
  const Tensor scale = fp8 ? padded(weight.scale, 8, 1) : weight.scale;
  Tensor offset, y = at::empty({a.size(0), b.size(0)}, x.scale.options().dtype(dtype));
  if (bias) offset = padded(bias->contiguous().unsqueeze(1), 8, 1);
  const cuda::ScaledProduct product = {a.const_data_ptr(),
                                       b.const_data_ptr(),
                                       x.scale.const_data_ptr<float>(),
                                       scale.const_data_ptr<float>(),
                                       bias ? cuda_values(offset) : cuda::Values{},
                                       cuda_output(y),
                                       y.size(0),
                                       y.size(1),
                                       a.size(1)};
  const auto stream = at::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(fp8 ? cuda::scaled_product_fp8(product, stream)
                     : cuda::scaled_product_int8(product, stream));
  return y.size(1) == out_features ? y : y.narrow(1, 0, out_features).contiguous();
}

std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                                           std::string_view name, int64_t group_size) {
  const Precision precision = check_bitlinear(x, weight, bias, name, group_size);
  const auto dtype = x.scalar_type();
  if (dtype == at::kDouble) return bitlinear_forward_aten(x, weight, bias, name, group_size);
  const c10::cuda::CUDAGuard guard(x.device());
  if (!activation_codes(precision)) {
    const Tensor used = weight_used_cuda(weight, precision, group_size, dtype);
    const Tensor y = at::linear(rows_of(x), used, bias ? bias->to(dtype) : OptionalTensor());
    return {y.view_symint(linear_output_sizes(x, weight.size(0))),
            at::empty({0}, x.options().dtype(at::kChar)), at::empty({0}, x.options().dtype(at::kFloat))};
  }
  const auto q = quantize_activation_cuda(rows_of(x), *activation_codes(precision));
  const Tensor y = multiply(q, quantize_weight_cuda(weight, precision, group_size), bias, dtype);
  return {y.view_symint(linear_output_sizes(x, weight.size(0))), q.codes.view(x.sizes()),
          q.scale.view(x.sizes().slice(0, static_cast<size_t>(x.dim()) - 1))};
}

Tensor inference(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string_view name,
                 int64_t group_size) {
  return std::get<0>(forward(x, weight, bias, name, group_size));
}

Tensor activation_used(const Tensor& x, const OptionalTensor& x_scale, Precision precision,
                       at::ScalarType dtype) {
  if (x_scale) return dequantize_activation_cuda(x, *x_scale, dtype);
  const auto codes = activation_codes(precision);
  if (!codes) return rows_of(x);
  const auto q = quantize_activation_cuda(rows_of(x), *codes);
  return dequantize_activation_cuda(q.codes, q.scale, dtype);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad_out, const Tensor& x, const Tensor& weight,
                                            std::string_view name, int64_t group_size,
                                            std::array<bool, 3> output_mask, const OptionalTensor& x_scale) {
  const Precision precision = check_bitlinear_backward(grad_out, x, weight, name, group_size, x_scale);
  const auto dtype = grad_out.scalar_type();
  if (dtype == at::kDouble)
    return bitlinear_backward_aten(grad_out, x, weight, name, group_size, output_mask, x_scale);
  const Tensor grad = rows_of(grad_out);
  Tensor grad_x, grad_weight, grad_bias;
  if (output_mask[0])
    grad_x = at::mm(grad, weight_used_cuda(weight, precision, group_size, dtype)).view(x.sizes());
  if (output_mask[1]) {
    const Tensor used = activation_used(x, x_scale, precision, dtype);
    // A float32 master's gradient keeps the sums that the product has anyway.
    grad_weight = weight.scalar_type() == dtype ? at::mm(grad.t(), used) : at::mm(grad.t(), used, at::kFloat);
  }
  if (output_mask[2]) grad_bias = grad.sum(0, /*keepdim=*/false, weight.scalar_type());
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) {
  m.impl("bitlinear", zeta::ops::inference);
  m.impl("bitlinear_forward", zeta::ops::forward);
  m.impl("bitlinear_backward", zeta::ops::backward);
}
