#include "src/ops/quantize_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include <string>
#include <utility>

#include "src/ops/quantize_fp8.h"
#include "src/ops/quantize_levels.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;

namespace {

// Every precision that there is; what else depends on one switches over the enum.
constexpr std::pair<std::string_view, Precision> kPrecisions[] = {
    {"1bit", Precision::kBinary}, {"1.58bit", Precision::kTernary}, {"2bit", Precision::kInt2},
    {"4bit", Precision::kInt4},   {"w4a8", Precision::kW4A8},       {"8bit", Precision::kInt8},
    {"fp8", Precision::kFp8},
};

}  // namespace

Precision parse_precision(std::string_view name) {
  std::string known;
  for (const auto& [its_name, precision] : kPrecisions) {
    if (name == its_name) return precision;
    known += (known.empty() ? "'" : ", '") + std::string(its_name) + "'";
  }
  TORCH_CHECK_VALUE(false, "expected precision to be one of ", known, ", got '", name, "'");
}

bool has_int4_weights(Precision precision) {
  return precision == Precision::kInt4 || precision == Precision::kW4A8;
}

bool is_supported_float(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16 || type == at::kHalf || type == at::kDouble;
}

void check_weight(const Tensor& weight, Precision precision, int64_t group_size) {
  TORCH_CHECK(weight.dim() == 2, "expected weight of 2 dimensions (out_features, in_features), got ",
              weight.dim());
  TORCH_CHECK(is_supported_float(weight.scalar_type()),
              "expected weight of float32, bfloat16, float16 or float64, got ", weight.scalar_type());
  TORCH_SYM_CHECK(weight.sym_numel().sym_gt(0),
                  "expected out_features ≥ 1 and in_features ≥ 1, got a weight of ", weight.sym_sizes());
  if (!has_int4_weights(precision)) return;
  TORCH_CHECK_VALUE(group_size > 0 && group_size % 8 == 0,
                    "expected group_size to be a positive multiple of 8, got ", group_size);
  TORCH_SYM_CHECK((weight.sym_size(1) % group_size).sym_eq(0),
                  "expected in_features to be a multiple of group_size ", group_size, ", got ",
                  weight.sym_size(1), "; choose a group_size that divides it");
}

at::ScalarType weight_codes(Precision precision) {
  return precision == Precision::kFp8 ? at::kFloat8_e4m3fn : at::kChar;
}

c10::SymDimVector scale_sizes(const Tensor& weight, Precision precision, int64_t group_size) {
  switch (precision) {
    case Precision::kTernary:
    case Precision::kBinary:
      return {1};
    case Precision::kInt4:
    case Precision::kW4A8:
      return {weight.sym_size(0), weight.sym_size(1) / group_size};
    case Precision::kFp8:
    case Precision::kInt2:
    case Precision::kInt8:
      break;
  }
  return {weight.sym_size(0), 1};
}

std::tuple<Tensor, Tensor> quantize_weight(const Tensor& weight, std::string_view precision,
                                           int64_t group_size) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::quantize_weight", "")
                             .typed<decltype(quantize_weight)>();
  return op.call(weight, precision, group_size);
}

namespace {

std::tuple<Tensor, Tensor> quantize_meta(const Tensor& weight, std::string_view name, int64_t group_size) {
  const Precision precision = parse_precision(name);
  check_weight(weight, precision, group_size);
  const auto codes = at::empty_symint(weight.sym_sizes(), weight.options().dtype(weight_codes(precision)));
  return {codes,
          at::empty_symint(scale_sizes(weight, precision, group_size), weight.options().dtype(at::kFloat))};
}

// The formula in ATen, for devices without a kernel of ours.
std::tuple<Tensor, Tensor> quantize_aten(const Tensor& weight, std::string_view name, int64_t group_size) {
  const Precision precision = parse_precision(name);
  check_weight(weight, precision, group_size);
  const Tensor w = weight.to(at::kFloat).contiguous();
  if (precision == Precision::kFp8) return quantize_fp8_weight(w);
  if (has_levels(precision)) return quantize_levels(w, precision, weight.scalar_type());
  if (precision == Precision::kTernary) {
    // Summed in float64, as on CPU: codes may not depend on where a weight is quantised.
    const Tensor mean = w.abs().mean(at::kDouble).to(at::kFloat).clamp_min_(1e-5);
    const Tensor scale = mean.to(weight.scalar_type()).to(at::kFloat).reshape({1});
    return {w.mul(scale.reciprocal()).clamp_(-1, 1).round_().to(at::kChar), scale};
  }
  const Tensor groups = w.view({w.size(0), -1, group_size});
  // A divisor on the host would become a multiplication by its inverse on CUDA, which rounds otherwise.
  const Tensor divisor = at::full({}, 7.5, w.options());
  const Tensor scale =
      groups.abs().amax(-1).div_(divisor).clamp_min_(0x1p-126).to(at::kBFloat16).to(at::kFloat);
  const Tensor codes = groups.div(scale.unsqueeze(-1)).clamp_(-8, 7).round_().to(at::kChar);
  return {codes.view(w.sizes()), scale};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def("quantize_weight(Tensor weight, str precision, int group_size) -> (Tensor codes, Tensor scale)",
        {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("quantize_weight", zeta::ops::quantize_aten);
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) { m.impl("quantize_weight", zeta::ops::quantize_meta); }

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("quantize_weight", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("quantize_weight", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
