#include <ATen/ATen.h>
#include <torch/library.h>

#include <numeric>

#include "kernels/cpu/quantize/quantize.h"
#include "src/ops/packed_linear.h"
#include "src/ops/quantize_fp8.h"
#include "src/ops/quantize_levels.h"
#include "src/ops/quantize_weight.h"
#include "src/ops/quantize_weight_cpu.h"
#include "src/ops/rows.h"

namespace zeta::ops {
namespace {

using at::Tensor;

// Row sums are added in order, so that the result does not depend on the number of threads. NaN stays NaN.
Tensor ternary_scale(const Tensor& w) {
  std::vector<double> sums(static_cast<size_t>(w.size(0)));
  parallel_rows(w, [&](int64_t row, const float* values) {
    sums[static_cast<size_t>(row)] = cpu::abs_sum(values, w.size(1));
  });
  const auto mean =
      static_cast<float>(std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(w.numel()));
  return at::full({1}, mean < 1e-5f ? 1e-5f : mean, at::kFloat).to(w.scalar_type()).to(at::kFloat);
}

std::tuple<Tensor, Tensor> quantize_cpu(const Tensor& weight, std::string_view name, int64_t group_size) {
  const Precision precision = parse_precision(name);
  check_weight(weight, precision, group_size);
  if (precision == Precision::kFp8) return quantize_fp8_weight(weight.to(at::kFloat).contiguous());
  if (has_levels(precision))
    return quantize_levels(weight.to(at::kFloat).contiguous(), precision, weight.scalar_type());
  const Tensor w = weight.contiguous();
  const int64_t columns = w.size(1);
  Tensor codes = at::empty(w.sizes(), w.options().dtype(at::kChar));
  int8_t* to = codes.mutable_data_ptr<int8_t>();
  if (precision == Precision::kTernary) {
    Tensor scale = ternary_scale(w);
    parallel_rows(w, [&, inverse = 1 / scale.item<float>()](int64_t row, const float* values) {
      cpu::quantize_ternary(values, columns, inverse, to + row * columns);
    });
    return {codes, scale};
  }
  const int64_t groups = columns / group_size;
  Tensor scale = at::empty({w.size(0), groups}, w.options().dtype(at::kFloat));
  float* scales = scale.mutable_data_ptr<float>();
  parallel_rows(w, [&](int64_t row, const float* values) {
    cpu::quantize_int4(values, columns, group_size, to + row * columns, scales + row * groups);
  });
  return {codes, scale};
}

}  // namespace

Tensor use_weight_cpu(const Tensor& weight, Precision precision, int64_t group_size, at::ScalarType dtype) {
  const Tensor w = weight.contiguous();
  const int64_t columns = w.size(1);
  Tensor used = at::empty(w.sizes(), w.options().dtype(at::kFloat));
  float* to = used.mutable_data_ptr<float>();
  if (precision == Precision::kTernary) {
    const float scale = ternary_scale(w).item<float>();
    parallel_rows(w, [&](int64_t row, const float* values) {
      cpu::use_ternary(values, columns, 1 / scale, scale, to + row * columns);
    });
  } else {
    parallel_rows(w, [&](int64_t row, const float* values) {
      cpu::use_int4(values, columns, group_size, to + row * columns);
    });
  }
  return used.to(dtype);
}

namespace {

// Values 0 to 3, (4 n, columns), as a ternary layer's bytes: (n, columns).
Tensor pack_pairs(const Tensor& values) {
  const auto quarters = values.chunk(4);
  Tensor packed = quarters[0].clone();
  for (int i = 1; i < 4; ++i) packed.bitwise_or_(quarters[static_cast<size_t>(i)].bitwise_left_shift(2 * i));
  return packed;
}

}  // namespace

Tensor pack_int8_planes(const Tensor& codes) {
  const Tensor biased = codes.view(at::kByte).bitwise_xor(0x80);  // + 128
  std::vector<Tensor> planes;
  for (int shift = 0; shift < 8; shift += 2)
    planes.push_back(pack_pairs(biased.bitwise_right_shift(shift).bitwise_and_(3)));
  return at::cat(planes);
}

Tensor pack_codes_cpu(const Tensor& codes, Precision precision) {
  if (precision == Precision::kInt2 || precision == Precision::kInt8) {
    const Tensor whole = at::constant_pad_nd(codes, {0, 0, 0, -codes.size(0) & 3}).contiguous();
    if (precision == Precision::kInt8) return pack_int8_planes(whole);
    return pack_pairs(whole.add(3).bitwise_right_shift(1).to(at::kByte));
  }
  const bool four = precision == Precision::kTernary || precision == Precision::kBinary;
  const int64_t columns = codes.size(1), per_row = four ? 4 : 1;
  const int64_t rows = codes.size(0) / per_row, grain = std::max<int64_t>(1, 32768 / columns);
  const int8_t* from = codes.const_data_ptr<int8_t>();
  if (four) {
    Tensor packed = at::empty({rows, columns}, codes.options().dtype(at::kByte));
    uint8_t* to = packed.mutable_data_ptr<uint8_t>();
    at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        cpu::pack_ternary(from + row * columns, rows * columns, columns, to + row * columns);
    });
    return packed;
  }
  Tensor packed = at::empty({rows, columns / 8}, codes.options().dtype(at::kInt));
  auto* to = reinterpret_cast<uint32_t*>(packed.mutable_data_ptr<int32_t>());
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    cpu::pack_int4(from + begin * columns, (end - begin) * columns, to + begin * columns / 8);
  });
  return packed;
}

}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) { m.impl("quantize_weight", zeta::ops::quantize_cpu); }
