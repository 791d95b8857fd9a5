#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "src/ops/packed_linear_cpu.h"
#include "src/ops/quantize_fp8.h"

namespace zeta::ops {
namespace {

using at::Tensor;

constexpr int64_t kSliceElements = 1 << 20;  // decoded at a time; the caches hold them

const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table{};
    for (size_t bits = 0; bits < table.size(); ++bits) {
      table[bits] =
          static_cast<float>(c10::Float8_e4m3fn(static_cast<uint8_t>(bits), c10::Float8_e4m3fn::from_bits()));
    }
    return table;
  }();
  return values;
}

void decode(const uint8_t* codes, int64_t count, float* to) {
  const auto& values = e4m3_values();
  at::parallel_for(0, count, 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = values[codes[i]];
  });
}

}  // namespace

// The arithmetic of quantized_linear.cc, whose weights are decoded whole.
Tensor fp8_product(const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias) {
  const auto q = quantize_fp8_activation(x);
  const int64_t rows = packed.size(0), columns = packed.size(1);
  const int64_t slice = std::clamp<int64_t>(kSliceElements / columns, 1, rows);
  const Tensor activations = q.codes.to(at::kFloat);
  Tensor out = at::empty({x.size(0), rows}, activations.options());
  Tensor weight = at::empty({slice, columns}, activations.options());
  const auto* const codes = static_cast<const uint8_t*>(packed.const_data_ptr());
  for (int64_t first = 0; first < rows; first += slice) {
    const int64_t count = std::min(slice, rows - first);
    decode(codes + first * columns, count * columns, weight.mutable_data_ptr<float>());
    out.narrow(1, first, count).copy_(at::mm(activations, weight.narrow(0, 0, count).t()));
  }
  out.mul_(q.scale).mul_(scale.to(at::kFloat).view({1, -1}));
  if (bias.defined()) out.add_(bias);
  return out;
}

}  // namespace zeta::ops
