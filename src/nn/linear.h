// y = x · Wᵀ + b with W dense or packed. Packed weights are read where the file put them, never unpacked;
// those of int8 are reordered there once.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "src/nn/quantization.h"
#include "src/nn/weight_loader.h"

namespace zeta::nn {

class Linear {
 public:
  struct Shape {
    int64_t in_features, out_features;
    bool bias;
  };

  Linear() = default;
  // A dense layer over a tensor that exists, (out, in).
  explicit Linear(at::Tensor weight) : weight_(std::move(weight)) {}
  // Reads `module`.weight and what belongs to it in the form that `quantization` names. Throws ModelError.
  Linear(WeightLoader& loader, const std::string& module, Shape shape, const Quantization& quantization);

  // x: (tokens, in_features) → (tokens, out_features), of x's dtype.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  void load_ternary(WeightLoader& loader, const std::string& module, Shape shape, TernaryScale rule);
  void load_int4(WeightLoader& loader, const std::string& module, Shape shape, int64_t group_size);
  void load_rows(WeightLoader& loader, const std::string& module, Shape shape);

  WeightFormat format_ = WeightFormat::kDense;
  int64_t out_features_ = 0;
  at::Tensor weight_;  // as ops::packed_linear has it; dense (out, in)
  at::Tensor scale_;   // likewise
  std::optional<at::Tensor> bias_;
};

}  // namespace zeta::nn
