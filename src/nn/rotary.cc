#include "src/nn/rotary.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <numbers>

namespace zeta::nn {
namespace {

constexpr int64_t kElementsPerTask = 1 << 15;

// Low frequencies are divided by the factor, high ones kept, those between blended.
float llama3_frequency(const RotaryConfig::Llama3Scaling& scaling, float frequency) {
  const double context = static_cast<double>(scaling.original_max_position_embeddings);
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  if (wavelength > context / scaling.low_freq_factor) return static_cast<float>(frequency / scaling.factor);
  if (wavelength < context / scaling.high_freq_factor) return frequency;
  const double smooth =
      (context / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return static_cast<float>((1.0 - smooth) * frequency / scaling.factor + smooth * frequency);
}

template <typename T>
void turn_head(const float* cos, const float* sin, int64_t half, T* x) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const T low = x[i], high = x[i + half];
    const T c = static_cast<T>(cos[i]), s = static_cast<T>(sin[i]);
    x[i] = static_cast<T>(low * c) - static_cast<T>(high * s);
    x[i + half] = static_cast<T>(high * c) + static_cast<T>(low * s);
  }
}

}  // namespace

Rotary::Rotary(const RotaryConfig& config, int64_t head_dim) {
  for (int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    float frequency = 1.0f / std::pow(static_cast<float>(config.theta), exponent);
    if (config.llama3) frequency = llama3_frequency(*config.llama3, frequency);
    inverse_frequencies_.push_back(frequency);
  }
}

at::Tensor Rotary::angles(std::span<const int64_t> positions, at::ScalarType dtype) const {
  const auto half = static_cast<int64_t>(inverse_frequencies_.size());
  at::Tensor out = at::empty({static_cast<int64_t>(positions.size()), 2, half}, at::kFloat);
  auto* row = out.mutable_data_ptr<float>();
  for (int64_t position : positions) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * inverse_frequencies_[static_cast<size_t>(i)];
      row[i] = std::cos(angle);
      row[half + i] = std::sin(angle);
    }
    row += 2 * half;
  }
  return dtype == at::kFloat ? out : out.to(dtype).to(at::kFloat);
}

void Rotary::apply(const at::Tensor& angles, at::Tensor& x) {
  const int64_t tokens = x.size(0), heads = x.size(1), head_dim = x.size(2), half = head_dim / 2;
  const auto* table = angles.const_data_ptr<float>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "rotary", [&] {
    auto* data = x.mutable_data_ptr<scalar_t>();
    const int64_t grain = std::max<int64_t>(1, kElementsPerTask / (heads * head_dim));
    at::parallel_for(0, tokens, grain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const float* cos = table + t * head_dim;
        for (int64_t h = 0; h < heads; ++h) {
          turn_head(cos, cos + half, half, data + (t * heads + h) * head_dim);
        }
      }
    });
  });
}

}  // namespace zeta::nn
