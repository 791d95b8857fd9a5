// The bitlinear ops on CPU: integer products where they are exact, fused quantisers where they are not.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/matmul/matmul.h"
#include "kernels/cpu/quantize/quantize.h"
#include "src/ops/bitlinear_aten.h"
#include "src/ops/bitlinear_check.h"
#include "src/ops/linear_shape.h"
#include "src/ops/packed_linear.h"
#include "src/ops/packed_linear_cpu.h"
#include "src/ops/quantize_weight_cpu.h"
#include "src/ops/quantized_linear.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// float64 keeps more than the kernels' fp32.
bool has_kernels(Precision precision, at::ScalarType dtype) {
  return precision != Precision::kFp8 && dtype != at::kDouble;
}

// Products of integers that scales of x's rows and of the weight make a result.
bool is_integer(Precision precision) { return activation_codes(precision) == at::kChar; }

bool quantizes_in_one_pass(Precision precision) {
  return precision == Precision::kTernary || has_int4_weights(precision);
}

// Ŵ of fp32 is c · σ exactly, as the packed product has it; a 16-bit one is rounded.
bool multiplies_codes(Precision precision, const Tensor& x, const Tensor& weight) {
  if (precision == Precision::kInt2 || precision == Precision::kInt8)
    return weight.size(1) <= kMostPlaneColumns;
  if (precision == Precision::kW4A8) return weight.size(1) < kMaxInt8Features;
  if (is_integer(precision)) return weight.size(0) % 4 == 0 && weight.size(1) < int64_t{1} << 23;
  return x.scalar_type() == at::kFloat && cpu::isa() >= cpu::Isa::kAvx512;
}

Tensor integer_product(Precision precision, const QuantizedActivation& q, const Tensor& packed,
                       const Tensor& scale, const Tensor& bias) {
  switch (precision) {
    case Precision::kInt2:
      return planes_product(q, packed, 1, scale, bias);
    case Precision::kInt8:
      return planes_product(q, packed, 4, scale, bias);
    case Precision::kW4A8:
      return int4_product(q, packed, scale, bias);
    default:
      return ternary_product(q, packed, scale.item<float>(), bias);
  }
}

struct Forward {
  Tensor y;
  QuantizedActivation q;
};

Forward multiply(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, Precision precision,
                 std::string_view name, int64_t group_size) {
  const auto [codes, scale] = quantize_weight(weight, name, group_size);
  const Tensor packed = pack_codes_cpu(codes, precision), rows = rows_of(x);
  const Tensor offset = bias ? bias->to(at::kFloat).contiguous() : Tensor();
  if (precision == Precision::kInt4) return {int4_product(rows, packed, scale, offset), {}};
  auto q = quantize_activation(rows);
  const Tensor y = integer_product(precision, q, packed, scale, offset);
  return {y.to(x.scalar_type()), std::move(q)};
}

Tensor inference(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string_view name,
                 int64_t group_size) {
  const Precision precision = check_bitlinear(x, weight, bias, name, group_size);
  const auto dtype = x.scalar_type();
  if (!has_kernels(precision, dtype)) return bitlinear_aten(x, weight, bias, name, group_size);
  const auto sizes = linear_output_sizes(x, weight.size(0));
  if (multiplies_codes(precision, x, weight))
    return multiply(x, weight, bias, precision, name, group_size).y.view_symint(sizes);
  if (is_integer(precision)) return bitlinear_aten(x, weight, bias, name, group_size);
  const Tensor used = use_weight_cpu(weight, precision, group_size, dtype);
  return at::linear(rows_of(x), used, bias ? bias->to(dtype) : OptionalTensor()).view_symint(sizes);
}

std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                                           std::string_view name, int64_t group_size) {
  const Precision precision = check_bitlinear(x, weight, bias, name, group_size);
  if (!has_kernels(precision, x.scalar_type()) || !is_integer(precision) ||
      !multiplies_codes(precision, x, weight))
    return bitlinear_forward_aten(x, weight, bias, name, group_size);
  const auto [y, q] = multiply(x, weight, bias, precision, name, group_size);
  return {y.view_symint(linear_output_sizes(x, weight.size(0))), q.codes.contiguous().view(x.sizes()),
          q.scale.view(x.sizes().slice(0, static_cast<size_t>(x.dim()) - 1))};
}

// a · b; a may be a transposed matrix.
Tensor product(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() != at::kFloat || cpu::isa() < cpu::Isa::kAvx512) return at::mm(a, b);
  const Tensor right = b.contiguous();
  Tensor c = at::empty({a.size(0), b.size(1)}, a.options());
  const cpu::MatMul args{.a = a.const_data_ptr<float>(),
                         .a_row = a.stride(0),
                         .a_column = a.stride(1),
                         .b = right.const_data_ptr<float>(),
                         .b_stride = right.size(1),
                         .c = c.mutable_data_ptr<float>(),
                         .m = a.size(0),
                         .n = b.size(1),
                         .k = a.size(1)};
  constexpr int64_t kTile = 32, kWorthAThread = 1 << 17;
  const int64_t tiles = (args.n + kTile - 1) / kTile;
  at::parallel_for(0, tiles, std::max<int64_t>(1, kWorthAThread / (args.m * args.k * kTile + 1)),
                   [&](int64_t begin, int64_t end) {
                     cpu::avx512::matmul(args, begin * kTile, std::min(end * kTile, args.n));
                   });
  return c;
}

Tensor weight_used(const Tensor& weight, std::string_view name, int64_t group_size, at::ScalarType dtype) {
  const auto [codes, scale] = quantize_weight(weight, name, group_size);
  return dequantize_weight(codes, scale, dtype);
}

// x̂ in dtype, from the codes that the forward kept or from x.
Tensor activation_used(const Tensor& x, const OptionalTensor& x_scale, Precision precision,
                       at::ScalarType dtype) {
  if (!activation_codes(precision)) return rows_of(x);
  if (!x_scale) {
    const auto q = quantize_activation(rows_of(x));
    return activation_used(q.codes, q.scale, precision, dtype);
  }
  const Tensor codes = rows_of(x).contiguous(), scale = x_scale->reshape({-1}).contiguous();
  Tensor used = at::empty(codes.sizes(), scale.options());
  const int64_t columns = codes.size(1);
  at::parallel_for(0, codes.size(0), std::max<int64_t>(1, 32768 / columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      cpu::use_activation(codes.const_data_ptr<int8_t>() + row * columns, columns,
                          scale.const_data_ptr<float>()[row], used.mutable_data_ptr<float>() + row * columns);
    }
  });
  return used.to(dtype);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad_out, const Tensor& x, const Tensor& weight,
                                            std::string_view name, int64_t group_size,
                                            std::array<bool, 3> output_mask, const OptionalTensor& x_scale) {
  const Precision precision = check_bitlinear_backward(grad_out, x, weight, name, group_size, x_scale);
  const auto dtype = grad_out.scalar_type();
  if (!has_kernels(precision, dtype))
    return bitlinear_backward_aten(grad_out, x, weight, name, group_size, output_mask, x_scale);
  // A sum's gradient is one number, expanded; two products would each copy it.
  const Tensor grad = rows_of(grad_out).contiguous();
  Tensor grad_x, grad_weight, grad_bias;
  if (output_mask[0]) {
    const Tensor used = quantizes_in_one_pass(precision)
                            ? use_weight_cpu(weight, precision, group_size, dtype)
                            : weight_used(weight, name, group_size, dtype);
    grad_x = product(grad, used).view(x.sizes());
  }
  if (output_mask[1]) {
    grad_weight = product(grad.t(), activation_used(x, x_scale, precision, dtype)).to(weight.scalar_type());
  }
  if (output_mask[2]) grad_bias = grad.sum(0, /*keepdim=*/false, weight.scalar_type());
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) {
  m.impl("bitlinear", zeta::ops::inference);
  m.impl("bitlinear_forward", zeta::ops::forward);
  m.impl("bitlinear_backward", zeta::ops::backward);
}
