#include "src/backends/torch/output_difference.h"

#include <ATen/Functions.h>

#include <cmath>
#include <cstring>

#include "src/backends/torch/tensors.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

constexpr double kUnits = 32;

// The distance from 1 to the next value of the type.
double unit_of(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return std::ldexp(1.0, -10);
    case at::kBFloat16:
      return std::ldexp(1.0, -7);
    case at::kFloat:
      return std::ldexp(1.0, -23);
    default:
      return std::ldexp(1.0, -52);
  }
}

at::Tensor view_of(const serving::Tensor& tensor, at::ScalarType type) {
  auto* data = const_cast<std::byte*>(tensor.data.data);  // torch knows no read-only memory
  return at::from_blob(data, tensor.shape, at::TensorOptions(type));
}

std::string difference_of(const serving::Tensor& expected, const serving::Tensor& actual) {
  if (expected.shape != actual.shape) {
    return concat("has shape ", serving::shape_text(actual.shape), ", expected ",
                  serving::shape_text(expected.shape));
  }
  const size_t size = expected.data.size;
  if (size == 0 || std::memcmp(expected.data.data, actual.data.data, size) == 0) return "";
  const auto type = to_scalar_type(expected.datatype);
  if (!type || !at::isFloatingType(*type)) return "has other values";
  const at::Tensor wanted = view_of(expected, *type).to(at::kDouble),
                   got = view_of(actual, *type).to(at::kDouble);
  if (!at::equal(at::isfinite(wanted), at::isfinite(got))) return "has infinities or NaN elsewhere";
  const at::Tensor finite = at::isfinite(wanted);
  const double apart = at::where(finite, at::sub(wanted, got).abs(), at::zeros_like(wanted)).max().item<double>();
  const double largest = at::where(finite, wanted.abs(), at::zeros_like(wanted)).max().item<double>();
  if (apart <= kUnits * unit_of(*type) * largest) return "";
  return concat("differs by up to ", apart, " where the largest value is ", largest);
}

}  // namespace

std::string output_difference(const std::vector<serving::Tensor>& expected,
                              const std::vector<serving::Tensor>& actual) {
  if (expected.size() != actual.size()) return concat(actual.size(), " outputs, expected ", expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::string difference = difference_of(expected[i], actual[i]);
    if (!difference.empty()) return concat("output '", expected[i].name, "' ", difference);
  }
  return "";
}

}  // namespace zeta::torch_backend
