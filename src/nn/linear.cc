#include "src/nn/linear.h"

#include <ATen/ATen.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mul.h>
#include <fmt/format.h>

#include "src/ops/packed_linear.h"

namespace zeta::nn {
namespace {

constexpr int64_t kCodesPerByte = 4;     // ternary and int2
constexpr int64_t kCodesPerWord = 8;     // int4 in int32
constexpr int64_t kMostColumns = 65535;  // of int2 and int8, as ops::packed_linear

std::string_view name_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::kTernary:
      return "ternary";
    case WeightFormat::kInt2:
      return "int2";
    case WeightFormat::kW4A8:
      return "w4a8";
    case WeightFormat::kInt8:
      return "int8";
    case WeightFormat::kFp8:
      return "fp8";
    default:
      return "int4";
  }
}

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
    case WeightFormat::kInt2:
    case WeightFormat::kInt8:
    case WeightFormat::kFp8:
      load_rows(loader, module, shape);
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

// The formats with a scale for each output.
void Linear::load_rows(WeightLoader& loader, const std::string& module, Shape shape) {
  const std::string name = module + ".weight";
  const int64_t rows = shape.out_features, columns = shape.in_features;
  if (format_ != WeightFormat::kFp8 && (rows % kCodesPerByte != 0 || columns > kMostColumns)) {
    loader.fail(name, fmt::format("expected out_features divisible by {} and in_features ≤ {}, got {} and {}",
                                  kCodesPerByte, kMostColumns, rows, columns));
  }
  switch (format_) {
    case WeightFormat::kInt2:
      weight_ = loader.exact(name, {rows / kCodesPerByte, columns}, StoredType::kU8);
      break;
    case WeightFormat::kInt8: {
      const at::Tensor stored = loader.exact(name, {rows, columns}, StoredType::kI8);
      weight_ = stored.view(at::kByte);
      weight_.copy_(ops::pack_int8_planes(stored));
      break;
    }
    default:
      weight_ = loader.exact(name, {rows, columns}, StoredType::kF8E4M3);
      if (weight_.view(at::kByte).bitwise_and(0x7f).eq(0x7f).any().item<bool>()) {
        loader.fail(name, "expected finite weights, got NaN");
      }
      break;
  }
  scale_ = loader.scales(module + ".weight_scale", {rows, 1});
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (format_ == WeightFormat::kDense) return at::linear(x, weight_, bias_);
  return ops::packed_linear(x, weight_, scale_, bias_, name_of(format_), out_features_);
}

}  // namespace zeta::nn
