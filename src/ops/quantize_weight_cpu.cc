#include <ATen/ATen.h>
#include <torch/library.h>

#include <numeric>

#include "kernels/cpu/quantize/quantize.h"
#include "src/ops/quantize_fp8.h"
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

Tensor pack_codes_cpu(const Tensor& codes, Precision precision) {
  const int64_t columns = codes.size(1), per_row = precision == Precision::kTernary ? 4 : 1;
  const int64_t rows = codes.size(0) / per_row, grain = std::max<int64_t>(1, 32768 / columns);
  const int8_t* from = codes.const_data_ptr<int8_t>();
  if (precision == Precision::kTernary) {
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
