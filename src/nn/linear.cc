#include "src/nn/linear.h"

#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mul.h>
#include <fmt/format.h>

#include "src/ops/packed_linear.h"

namespace zeta::nn {
namespace {

constexpr int64_t kCodesPerByte = 4;  // ternary
constexpr int64_t kCodesPerWord = 8;  // int4 in int32

}  // namespace

Linear::Linear(WeightLoader& loader, const std::string& module, Shape shape, const Quantization& quantization)
    : format_(quantization.format_of(module)), out_features_(shape.out_features) {
  if (shape.bias) bias_ = loader.floating(module + ".bias", {shape.out_features});
  switch (format_) {
    case WeightFormat::kDense:
      weight_ = loader.floating(module + ".weight", {shape.out_features, shape.in_features});
      break;
    case WeightFormat::kTernary:
      load_ternary(loader, module, shape, quantization.ternary_scale());
      break;
    case WeightFormat::kInt4:
    case WeightFormat::kW4A8:
      load_int4(loader, module, shape, quantization.group_size());
      break;
  }
}

void Linear::load_ternary(WeightLoader& loader, const std::string& module, Shape shape, TernaryScale rule) {
  const std::string name = module + ".weight";
  if (shape.out_features % kCodesPerByte != 0) {
    loader.fail(name, fmt::format("expected out_features divisible by {}, got {}", kCodesPerByte,
                                  shape.out_features));
  }
  weight_ = loader.exact(name, {shape.out_features / kCodesPerByte, shape.in_features}, StoredType::kU8);
  const double stored = loader.positive_scalar(module + ".weight_scale");
  scale_ = at::full({1}, rule == TernaryScale::kDivides ? 1.0 / stored : stored, at::kFloat);
  if (rule == TernaryScale::kMultiplies && bias_) bias_ = bias_->mul(stored);
}

void Linear::load_int4(WeightLoader& loader, const std::string& module, Shape shape, int64_t group_size) {
  const std::string name = module + ".weight_packed";
  if (shape.in_features % kCodesPerWord != 0 || shape.in_features % group_size != 0) {
    loader.fail(name, fmt::format("expected in_features divisible by {} and by group_size = {}, got {}",
                                  kCodesPerWord, group_size, shape.in_features));
  }
  weight_ = loader.exact(name, {shape.out_features, shape.in_features / kCodesPerWord}, StoredType::kI32);
  const std::vector<int64_t> stated = loader.integers(module + ".weight_shape", 2);
  if (stated != std::vector<int64_t>{shape.out_features, shape.in_features}) {
    loader.fail(module + ".weight_shape", fmt::format("expected [{}, {}], got [{}, {}]", shape.out_features,
                                                      shape.in_features, stated[0], stated[1]));
  }
  scale_ = loader.scales(module + ".weight_scale", {shape.out_features, shape.in_features / group_size});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  switch (format_) {
    case WeightFormat::kDense:
      return at::linear(x, weight_, bias_);
    case WeightFormat::kTernary:
      return ops::packed_linear(x, weight_, scale_, bias_, "ternary", out_features_);
    case WeightFormat::kInt4:
      return ops::packed_linear(x, weight_, scale_, bias_, "int4", out_features_);
    case WeightFormat::kW4A8:
      break;
  }
  return ops::packed_linear(x, weight_, scale_, bias_, "w4a8", out_features_);
}

}  // namespace zeta::nn
