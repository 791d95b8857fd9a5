#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/cpu/packed_linear/int4.h"
#include "kernels/cpu/packed_linear/ternary.h"
#include "src/ops/linear_shape.h"
#include "src/ops/packed_linear.h"
#include "src/ops/quantize_activation.h"

namespace zeta::ops {
namespace {

using at::Tensor;

const float* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

// Rows of weights worth a thread of their own, when each costs so many multiplications.
int64_t grain(int64_t products) {
  constexpr int64_t kWorthAThread = 1 << 17;
  return std::max<int64_t>(1, kWorthAThread / products);
}

void ternary(const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias, Tensor& out) {
  const auto q = quantize_activation(x);
  const Tensor row_scale = scale.to(at::kFloat).reshape({1, 1}).div(q.scale);
  const cpu::TernaryLinear args{.q = q.codes.const_data_ptr<int8_t>(),
                                .q_sum = q.sum.const_data_ptr<int32_t>(),
                                .row_scale = row_scale.const_data_ptr<float>(),
                                .packed = packed.const_data_ptr<uint8_t>(),
                                .bias = data_or_null(bias),
                                .out = out.mutable_data_ptr<float>(),
                                .m = out.size(0),
                                .n = out.size(1),
                                .k = packed.size(1),
                                .q_stride = q.codes.stride(0)};
  at::parallel_for(0, packed.size(0), grain(args.m * args.k * 4),
                   [&](int64_t begin, int64_t end) { cpu::ternary_linear(args, begin, end); });
}

void int4(const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias, Tensor& out) {
  const bool narrow = x.scalar_type() == at::kBFloat16 && cpu::int4_reads_bfloat16();
  const Tensor values = (narrow ? x : x.to(at::kFloat)).contiguous(), scales = scale.contiguous();
  const bool wide = scales.scalar_type() == at::kFloat;
  const cpu::Int4Linear args{
      .x = narrow ? nullptr : values.const_data_ptr<float>(),
      .x_bfloat16 =
          narrow ? reinterpret_cast<const uint16_t*>(values.const_data_ptr<at::BFloat16>()) : nullptr,
      .packed = reinterpret_cast<const uint32_t*>(packed.const_data_ptr<int32_t>()),
      .scale = wide ? scales.const_data_ptr<float>() : nullptr,
      .scale_bfloat16 =
          wide ? nullptr : reinterpret_cast<const uint16_t*>(scales.const_data_ptr<at::BFloat16>()),
      .bias = data_or_null(bias),
      .out = out.mutable_data_ptr<float>(),
      .m = out.size(0),
      .n = out.size(1),
      .k = packed.size(1) * 8,
      .group_size = packed.size(1) * 8 / scale.size(1)};
  at::parallel_for(0, args.n, grain(args.m * args.k),
                   [&](int64_t begin, int64_t end) { cpu::int4_linear(args, begin, end); });
}

Tensor forward_cpu(const Tensor& x, const Tensor& packed, const Tensor& scale,
                   const std::optional<Tensor>& bias, std::string_view name, c10::SymInt out_features) {
  const PackedFormat format = check_packed_linear(x, packed, scale, bias, name, out_features);
  const Tensor rows = x.reshape({-1, x.size(-1)});
  const Tensor offset = bias ? bias->to(at::kFloat).contiguous() : Tensor();
  Tensor out = at::empty({rows.size(0), out_features.expect_int()}, x.options().dtype(at::kFloat));
  if (rows.size(0) > 0) (format == PackedFormat::kTernary ? ternary : int4)(rows, packed, scale, offset, out);
  return out.to(x.scalar_type()).view_symint(linear_output_sizes(x, out_features));
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) { m.impl("packed_linear", zeta::ops::forward_cpu); }
