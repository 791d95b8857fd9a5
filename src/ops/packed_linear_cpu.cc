#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/cpu/packed_linear/int4.h"
#include "kernels/cpu/packed_linear/ternary.h"
#include "src/ops/linear_shape.h"
#include "src/ops/packed_linear.h"
#include "src/ops/packed_linear_cpu.h"
#include "src/ops/quantize_activation.h"

namespace zeta::ops {

using at::Tensor;

namespace {

const float* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

// Rows of weights that a kernel takes at once; a thread's share is whole tiles.
constexpr int64_t kTernaryTile = 16, kInt4Tile = 32;

// body(begin, end) over rows of weights, each of which costs so many multiplications.
template <typename Body>
void parallel_tiles(int64_t rows, int64_t tile, int64_t products, const Body& body) {
  constexpr int64_t kWorthAThread = 1 << 17;
  const int64_t tiles = (rows + tile - 1) / tile;
  at::parallel_for(0, tiles, std::max<int64_t>(1, kWorthAThread / (products * tile)),
                   [&](int64_t begin, int64_t end) { body(begin * tile, std::min(end * tile, rows)); });
}

}  // namespace

Tensor ternary_product(const QuantizedActivation& q, const Tensor& packed, float scale, const Tensor& bias) {
  Tensor out = at::empty({q.codes.size(0), packed.size(0) * 4}, q.scale.options());
  if (out.numel() == 0) return out;
  const Tensor row_scale = at::empty_like(q.scale);
  for (int64_t row = 0; row < out.size(0); ++row)
    row_scale.mutable_data_ptr<float>()[row] = scale / q.scale.const_data_ptr<float>()[row];
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
  parallel_tiles(packed.size(0), kTernaryTile, args.m * args.k * 4,
                 [&](int64_t begin, int64_t end) { cpu::ternary_linear(args, begin, end); });
  return out;
}

Tensor planes_product(const QuantizedActivation& q, const Tensor& packed, int64_t planes, const Tensor& scale,
                      const Tensor& bias) {
  const QuantizedActivation whole{q.codes, at::ones_like(q.scale), q.sum};
  const Tensor sums = ternary_product(whole, packed, 1, {});
  Tensor out = at::empty({sums.size(0), scale.size(0)}, q.scale.options());
  const auto* const factor = scale.const_data_ptr<float>();
  const float* const offset = data_or_null(bias);
  const int64_t n = out.size(1), rows = packed.size(0), rows_of_plane = rows / planes;
  at::parallel_for(0, out.size(0), std::max<int64_t>(1, 32768 / n), [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const float* const from = sums.const_data_ptr<float>() + m * sums.size(1);
      float* const to = out.mutable_data_ptr<float>() + m * n;
      const float token = q.scale.const_data_ptr<float>()[m];
      const int32_t sum = q.sum.const_data_ptr<int32_t>()[m];
      for (int64_t i = 0; i < n; ++i) {
        // A plane's sum is that of its digits minus `sum`. 2 bits: c = 2d − 3. 8 bits: c = Σ 4ᵖ dₚ − 128.
        const float* const digit = from + i / rows_of_plane * rows + i % rows_of_plane;
        int32_t exact = 2 * static_cast<int32_t>(digit[0]) - sum;
        if (planes == 4) {
          exact = -43 * sum;
          for (int64_t p = 0; p < 4; ++p) exact += static_cast<int32_t>(digit[p * rows_of_plane]) << 2 * p;
        }
        to[i] = static_cast<float>(exact) * (factor[i] / token) + (offset != nullptr ? offset[i] : 0.0F);
      }
    }
  });
  return out;
}

Tensor int4_product(const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias) {
  Tensor out = at::empty({x.size(0), packed.size(0)}, x.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
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
  parallel_tiles(args.n, kInt4Tile, args.m * args.k,
                 [&](int64_t begin, int64_t end) { cpu::int4_linear(args, begin, end); });
  return out;
}

Tensor int4_product(const QuantizedActivation& q, const Tensor& packed, const Tensor& scale,
                    const Tensor& bias) {
  Tensor out = at::empty({q.codes.size(0), packed.size(0)}, q.scale.options());
  if (out.numel() == 0) return out;
  const Tensor row_scale = q.scale.reciprocal(), scales = scale.contiguous();
  const bool wide = scales.scalar_type() == at::kFloat;
  const cpu::Int4Int8Linear args{
      .q = q.codes.const_data_ptr<int8_t>(),
      .row_scale = row_scale.const_data_ptr<float>(),
      .packed = reinterpret_cast<const uint32_t*>(packed.const_data_ptr<int32_t>()),
      .scale = wide ? scales.const_data_ptr<float>() : nullptr,
      .scale_bfloat16 =
          wide ? nullptr : reinterpret_cast<const uint16_t*>(scales.const_data_ptr<at::BFloat16>()),
      .bias = data_or_null(bias),
      .out = out.mutable_data_ptr<float>(),
      .m = out.size(0),
      .n = out.size(1),
      .k = packed.size(1) * 8,
      .q_stride = q.codes.stride(0),
      .group_size = packed.size(1) * 8 / scale.size(1)};
  parallel_tiles(args.n, kInt4Tile, args.m * args.k,
                 [&](int64_t begin, int64_t end) { cpu::int4_linear(args, begin, end); });
  return out;
}

namespace {

Tensor product(PackedFormat format, const Tensor& rows, const Tensor& packed, const Tensor& scale,
               const Tensor& bias) {
  switch (format) {
    case PackedFormat::kTernary:
      return ternary_product(quantize_activation(rows), packed, scale.item().toFloat(), bias);
    case PackedFormat::kInt4:
      return int4_product(rows, packed, scale, bias);
    case PackedFormat::kW4A8:
      return int4_product(quantize_activation(rows), packed, scale, bias);
    case PackedFormat::kInt2:
    case PackedFormat::kInt8:
      return planes_product(quantize_activation(rows), packed, format == PackedFormat::kInt8 ? 4 : 1,
                            scale.to(at::kFloat).contiguous().view({-1, 1}), bias);
    case PackedFormat::kFp8:
      break;
  }
  return fp8_product(rows, packed, scale, bias);
}

Tensor forward_cpu(const Tensor& x, const Tensor& packed, const Tensor& scale,
                   const std::optional<Tensor>& bias, std::string_view name, c10::SymInt out_features) {
  const PackedFormat format = check_packed_linear(x, packed, scale, bias, name, out_features);
  // One token is a matter of microseconds: a view more is one of them.
  const bool matrix = x.dim() == 2;
  const Tensor rows = matrix ? x : x.reshape({-1, x.size(-1)});
  const Tensor offset = bias ? bias->to(at::kFloat).contiguous() : Tensor();
  const Tensor out = product(format, rows, packed, scale, offset).to(x.scalar_type());
  return matrix ? out : out.view_symint(linear_output_sizes(x, out_features));
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) { m.impl("packed_linear", zeta::ops::forward_cpu); }
