// Rotary position embedding (arXiv 2104.09864) in the half-rotation convention of Hugging Face's Llama:
// element i of a head turns together with element i + head_dim/2 by the angle position · θ^(−2i/head_dim).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "src/nn/llama_config.h"

namespace zeta::nn {

class Rotary {
 public:
  Rotary() = default;
  Rotary(const RotaryConfig& config, int64_t head_dim);

  // Cosines and sines (tokens, 2, head_dim/2), fp32, rounded through `dtype` as transformers does. Shared by
  // all layers of a step.
  at::Tensor angles(std::span<const int64_t> positions, at::ScalarType dtype) const;
  // Turns x, contiguous (tokens, heads, head_dim), in place.
  static void apply(const at::Tensor& angles, at::Tensor& x);

 private:
  std::vector<float> inverse_frequencies_;  // (head_dim/2)
};

}  // namespace zeta::nn
