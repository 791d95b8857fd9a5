// How the linear layers of a model folder are stored: config.json's `quantization_config`.
//
// Understood are the forms of docs/formats.md: `bitnet` (ternary), `zeta` (2-bit) and `compressed-tensors`:
// pack-quantized 4-bit, with or without int8 activations, int-quantized and float-quantized 8-bit with
// activations quantised by the token. Everything else is refused by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/nn/json_object.h"
#include "src/nn/module_pattern.h"

namespace zeta::nn {

enum class WeightFormat {
  kDense,
  kTernary,
  kInt2,
  kInt4,
  kW4A8,  // kInt4 with activations in int8
  kInt8,
  kFp8
};

// What a ternary layer does with its stored scale s and bias b, given p, the product of the weight's codes
// and the dequantised activations. transformers' two classes differ.
enum class TernaryScale {
  kMultiplies,  // `autobitlinear`: (p + b) · s
  kDivides      // `bitlinear`: p / s + b
};

class Quantization {
 public:
  // Dense everywhere.
  Quantization() = default;
  // `config` is config.json; without `quantization_config` everything is dense. Throws ModelError.
  explicit Quantization(const JsonObject& config);

  // `module` is a linear layer's full name, "model.layers.0.mlp.up_proj".
  WeightFormat format_of(const std::string& module) const;
  TernaryScale ternary_scale() const { return ternary_scale_; }
  int64_t group_size() const { return group_size_; }  // of 4-bit: input features that share a scale

 private:
  void read_bitnet(const JsonObject& quantization);
  void read_compressed_tensors(const JsonObject& quantization);
  void read_4bit(const JsonObject& weights);
  static void read_8bit(const JsonObject& numbers, std::string_view type, std::string_view strategy,
                        bool dynamic);
  void read_zeta(const JsonObject& quantization);

  WeightFormat format_ = WeightFormat::kDense;
  TernaryScale ternary_scale_ = TernaryScale::kMultiplies;
  int64_t group_size_ = 0;
  std::vector<ModulePattern> targets_;
  std::vector<ModulePattern> excluded_;
};

}  // namespace zeta::nn
